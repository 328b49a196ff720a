//! The claims of chapter 7, looked at from outside.

mod dictionary;
mod rules;
mod view;

use std::process::ExitCode;

/// Whose hierarchies are the machine's for a moment, and who counts those of the machine.
static MACHINE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn main() -> ExitCode {
    let mut claims = view::claims();
    claims.extend(rules::claims());
    claims.extend(dictionary::claims());
    harness::main(env!("CARGO_MANIFEST_DIR"), claims)
}
