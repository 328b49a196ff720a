//! How the chapters build on one another, as cargo sees it.

use std::path::Path;
use std::process::ExitCode;

use cargo_metadata::{DependencyKind, MetadataCommand};
use harness::{Role, claim};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn main() -> ExitCode {
    let claims = vec![
        claim!(a_chapter_builds_on_earlier_ones_alone).only(Role::User).needs(&["cargo"]),
        claim!(the_readme_shows_what_was_recorded).only(Role::User),
    ];
    harness::main(env!("CARGO_MANIFEST_DIR"), claims)
}

/// The number of a chapter's package.
fn number(package: &str) -> Option<u32> {
    package.strip_prefix("ch")?.split_once('-')?.0.parse().ok()
}

fn a_chapter_builds_on_earlier_ones_alone(_: Role) {
    let manifest = Path::new(REPOSITORY).join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let mut chapters = 0;
    for package in &metadata.packages {
        let Some(chapter) = number(&package.name) else { continue };
        chapters += 1;
        let folder = package.manifest_path.parent().unwrap().file_name().unwrap();
        assert_eq!(package.name.as_str(), format!("ch{folder}"));
        for dependency in &package.dependencies {
            let is_earlier = number(&dependency.name).is_none_or(|earlier| earlier < chapter);
            assert!(is_earlier, "{} depends on {}", package.name, dependency.name);
            let is_tool = ["book", "harness"].contains(&dependency.name.as_str());
            let is_for_tests = dependency.kind == DependencyKind::Development;
            assert!(!is_tool || is_for_tests, "{} depends on {}", package.name, dependency.name);
            let makes_calls = ["libc", "nix"].contains(&dependency.name.as_str());
            assert!(
                chapter != 10 || !makes_calls || is_for_tests,
                "chapter 10 makes system calls of its own: it depends on {}",
                dependency.name
            );
        }
    }
    assert!(chapters >= 4, "{chapters} chapters");
}

/// All but the command line, which is longer there, since a reader has no PATH set yet.
fn the_readme_shows_what_was_recorded(_: Role) {
    let read = |path: &str| std::fs::read_to_string(Path::new(REPOSITORY).join(path)).unwrap();
    let recorded = read("chapters/01-uts/transcripts/shell.console");
    let mut recorded = recorded.lines();
    let readme = read("README.md");
    let shown = readme.split("```").nth(1).unwrap().lines().skip(2);
    for line in shown {
        assert!(recorded.any(|known| known == line), "{line:?} was not recorded here");
    }
}
