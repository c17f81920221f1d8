//! Results as tables for a person or as JSON for a script.

use std::io::Write;

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
        Output::Table => out.write_all(shown.text().as_bytes())?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, shown)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
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
