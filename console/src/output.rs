//! Results as tables for a person or as JSON for a script.

use std::io::Write;

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables for a person.
    Table,
    /// One JSON document for a script.
    Json,
}

/// What a command shows.
pub(crate) trait Shown: Serialize {
    /// As text for a person, ending in a line break.
    fn text(&self) -> String;
}

/// Prints a result.
pub(crate) fn show(shown: &impl Shown, output: Output, out: &mut impl Write) -> anyhow::Result<()> {
    match output {
        Output::Table if has_colours() => out.write_all(shown.text().as_bytes())?,
        Output::Table => out.write_all(plain(&shown.text()).as_bytes())?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, shown)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// How a text is meant, in colours where there are some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// A heading.
    Strong,
    /// All is well.
    Good,
    /// Somebody should look at it.
    Doubtful,
    /// Somebody must look at it.
    Bad,
    /// Of less interest than what stands around it.
    Faint,
}

/// A text in a tone. [`show`] takes the colours away where there is no terminal, or where `NO_COLOR` says so.
pub(crate) fn painted(tone: Tone, text: &str) -> String {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    let style = match tone {
        Tone::Strong => Style::new().bold(),
        Tone::Good => colour(AnsiColor::Green),
        Tone::Doubtful => colour(AnsiColor::Yellow),
        Tone::Bad => colour(AnsiColor::Red).bold(),
        Tone::Faint => Style::new().dimmed(),
    };
    format!("{style}{text}{style:#}")
}

/// What needs a person, a line each, marked for whoever sees no colours.
pub(crate) fn concerns(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{}\n", painted(Tone::Bad, &format!("! {}", printable(line))))).collect()
}

/// What needs a person, or that nothing does.
pub(crate) fn verdict(concerning: &[String]) -> String {
    if concerning.is_empty() { format!("{}\n", painted(Tone::Good, "all is fine")) } else { concerns(concerning) }
}

/// A text without the colours that [`painted`] gave it.
pub(crate) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// Whether standard output is a terminal that shows colours, and nobody objects.
pub(crate) fn has_colours() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != ColorChoice::Never
}

/// A plain table: a head and rows, without lines.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(head);
    for row in rows {
        table.add_row(row);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    format!("{}\n", lines.join("\n"))
}

/// A text of strangers on one line of a terminal: control characters are shown, never obeyed.
pub(crate) fn printable(text: &str) -> String {
    let shown = |char: char| if char.is_control() { char.escape_default().to_string() } else { char.to_string() };
    text.chars().map(shown).collect()
}

/// Rows are counted so far and no further, so that a look stays cheap.
pub(crate) const COUNTED_TO: i64 = 10_000;

/// Rows that were counted that far.
pub(crate) fn counted(rows: i64) -> String {
    format!("{rows}{}", if rows >= COUNTED_TO { "+" } else { "" })
}

/// An age in the largest unit of which it has two.
pub(crate) fn age(age: time::Duration) -> String {
    match age.whole_seconds() {
        seconds if seconds >= 2 * 86_400 => format!("{} d", seconds / 86_400),
        seconds if seconds >= 2 * 3_600 => format!("{} h", seconds / 3_600),
        seconds if seconds >= 120 => format!("{} min", seconds / 60),
        seconds => format!("{} s", seconds.max(0)),
    }
}
