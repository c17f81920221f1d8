//! Colours: on a terminal, where nobody objects, and nowhere else.

use testing::run;

use crate::scene::{oncehook, terminal, text};

const COMMANDS: [&[&str]; 4] = [&["status"], &["queues"], &["top", "--once"], &["doctor"]];

/// Whether a text changes how what follows it is drawn.
fn has_colours(screen: &str) -> bool {
    let parameter = |char: char| char.is_ascii_digit() || char == ';';
    screen.split("\u{1b}[").skip(1).any(|sequence| sequence.trim_start_matches(parameter).starts_with('m'))
}

#[test]
fn a_cursor_that_moves_is_no_colour() {
    assert!(has_colours("\u{1b}[31mred") && has_colours("\u{1b}[1;31mbold and red"));
    assert!(!has_colours("\u{1b}[2K\u{1b}[1A30m") && !has_colours("31m"));
}

#[tokio::test]
async fn what_needs_a_person_is_coloured_on_a_terminal_unless_no_color_is_set() {
    run(async |stack| {
        for arguments in COMMANDS {
            let screen = async |colour: &str| {
                let output = terminal(&stack, arguments).env("NO_COLOR", colour).output().await.unwrap();
                text(&output.stdout)
            };
            // Set to nothing is not set: https://no-color.org
            assert!(has_colours(&screen("").await), "{arguments:?}");
            let plain = screen("1").await;
            assert!(!has_colours(&plain) && plain.lines().count() > 2, "{arguments:?}: {plain:?}");
            let piped = text(&oncehook(&stack, arguments).await.stdout);
            assert!(!piped.contains('\u{1b}') && piped.lines().count() > 2, "{arguments:?}: {piped:?}");
        }
    })
    .await;
}
