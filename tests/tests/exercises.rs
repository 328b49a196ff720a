//! The exercises' checks: what is unsolved or wrong does not pass, and the solution does.

use std::process::ExitCode;

use harness::{enter_stage, exercise};

/// The checks of these chapters.
macro_rules! chapters {
    ($($chapter:ident $path:literal,)*) => {
        $(
            #[path = $path]
            #[expect(dead_code, reason = "its main is for who solves it")]
            mod $chapter;
        )*
        const EXERCISES: &[&exercise::Exercise] = &[$(&$chapter::EXERCISE,)*];
    };
}

chapters! {
    ch01 "../../chapters/01-uts/tests/exercise.rs",
    ch02 "../../chapters/02-ipc/tests/exercise.rs",
    ch03 "../../chapters/03-pid/tests/exercise.rs",
    ch04 "../../chapters/04-mount/tests/exercise.rs",
    ch05 "../../chapters/05-user/tests/exercise.rs",
    ch06 "../../chapters/06-net/tests/exercise.rs",
    ch07 "../../chapters/07-cgroup-hierarchy/tests/exercise.rs",
    ch08 "../../chapters/08-cgroup-memory/tests/exercise.rs",
    ch09 "../../chapters/09-cgroup-cpu/tests/exercise.rs",
    ch10 "../../chapters/10-full-container/tests/exercise.rs",
}

fn main() -> ExitCode {
    enter_stage(exercise::MACHINES);
    let claims = EXERCISES.iter().flat_map(|exercise| exercise::claims(exercise)).collect();
    harness::main(env!("CARGO_MANIFEST_DIR"), claims)
}
