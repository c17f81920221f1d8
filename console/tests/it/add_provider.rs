//! Follows `docs/add-a-provider.md` to the letter: runs each block of commands, in order and in one shell, and looks for each
//! line that the page says they print.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Printed between blocks, to tell their outputs apart.
const MARK: &str = "=== end of a block ===";

/// The commands of the page, each block with the lines that must be printed by it.
fn blocks(page: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    for fenced in page.split("```").skip(1).step_by(2) {
        let (kind, text) = fenced.split_once('\n').unwrap();
        match kind {
            "sh" => blocks.push((text.to_owned(), Vec::new())),
            "text" => blocks.last_mut().unwrap().1.extend(text.lines().map(str::to_owned)),
            other => panic!("a block of kind {other:?}"),
        }
    }
    blocks
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_page_about_adding_a_provider_is_true() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/add-a-provider.md")).unwrap();
    let blocks = blocks(&page);
    assert!(blocks.len() >= 5 && blocks.iter().filter(|(_, lines)| !lines.is_empty()).count() >= 4);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("add-provider-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let script: String = blocks.iter().map(|(commands, _)| format!("{commands}echo '{MARK}'\n")).collect();
    let binary = Path::new(env!("CARGO_BIN_EXE_oncehook")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let output =
        Command::new("sh").args(["-e", "-c", &script]).env("PATH", path).current_dir(&folder).output().unwrap();
    let (printed, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{printed}\n{said}");
    for ((commands, lines), printed) in blocks.iter().zip(printed.split(MARK)) {
        for line in lines {
            assert!(
                without_spaces(printed).contains(&without_spaces(line)),
                "{commands}\nprints\n{printed}\nand not\n{line}"
            );
        }
    }
    fs::remove_dir_all(&folder).unwrap();
}
