//! What processes have used: processor time and memory, from `/proc`.

use std::path::Path;

use anyhow::Context as _;
use nix::unistd::{SysconfVar, sysconf};

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident: u64,
    /// The most that was ever resident.
    pub(crate) peak: u64,
}

/// Processor time of one process since it began, of all its threads, in seconds.
///
/// # Errors
/// When there is no such process.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let fields = stat(pid)?;
    seconds(field(&fields, UTIME)? + field(&fields, STIME)?)
}

/// The same of this process.
///
/// # Errors
/// When `/proc` is not there.
pub(crate) fn own_cpu_seconds() -> anyhow::Result<f64> {
    cpu_seconds(std::process::id())
}

/// Processor time of a process, its living children, and those that it has buried: all of Postgres.
///
/// # Errors
/// When there is no such process.
pub(crate) fn family_cpu_seconds(parent: u32) -> anyhow::Result<f64> {
    let fields = stat(parent)?;
    let mut ticks = 0;
    for number in [UTIME, STIME, CUTIME, CSTIME] {
        ticks += field(&fields, number)?;
    }
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(fields) = stat(pid) else { continue }; // it has ended meanwhile
        if field(&fields, PPID)? == u64::from(parent) {
            ticks += field(&fields, UTIME)? + field(&fields, STIME)?;
        }
    }
    seconds(ticks)
}

/// Memory of a process.
///
/// # Errors
/// When there is no such process.
pub(crate) fn memory(pid: u32) -> anyhow::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        let kilobytes: u64 = line.trim_matches([':', ' ', '\t']).trim_end_matches(" kB").parse()?;
        anyhow::Ok(kilobytes * 1024)
    };
    Ok(Memory { resident: bytes("VmRSS")?, peak: bytes("VmHWM")? })
}

/// Bytes of a file.
///
/// # Errors
/// When it is not there.
#[allow(clippy::cast_precision_loss, reason = "files are far below 2^53 bytes")]
pub(crate) fn file_bytes(path: &Path) -> anyhow::Result<f64> {
    Ok(std::fs::metadata(path).with_context(|| path.display().to_string())?.len() as f64)
}

/// Bytes that went over the loopback, whoever sent them.
///
/// # Errors
/// When there is no loopback.
pub(crate) fn loopback_bytes() -> anyhow::Result<u64> {
    let path = Path::new("/sys/class/net/lo/statistics/rx_bytes");
    Ok(std::fs::read_to_string(path)?.trim().parse()?)
}

/// Places of numbers in `/proc/PID/stat`, behind the command's name: see `proc(5)`.
const PPID: usize = 1;
const UTIME: usize = 11;
const STIME: usize = 12;
const CUTIME: usize = 13;
const CSTIME: usize = 14;

fn stat(pid: u32) -> anyhow::Result<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(") ").context("/proc/PID/stat is not of its form")?;
    Ok(fields.split(' ').map(str::to_owned).collect())
}

fn field(fields: &[String], number: usize) -> anyhow::Result<u64> {
    Ok(fields.get(number).context("/proc/PID/stat is too short")?.parse()?)
}

fn seconds(ticks: u64) -> anyhow::Result<f64> {
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock ticks")?;
    #[allow(clippy::cast_precision_loss, reason = "ticks of processor time are far below 2^53")]
    Ok(ticks as f64 / per_second as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.resident > 0 && memory.peak >= memory.resident);
        let began = std::time::Instant::now();
        let before = own_cpu_seconds().unwrap();
        while own_cpu_seconds().unwrap() <= before {
            assert!(began.elapsed().as_secs() < 60, "no time is counted");
        }
    }
}
