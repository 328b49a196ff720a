//! What is done, told as it is done.

use std::time::Instant;

use anyhow::Result;
use ch00_ground::refusal::say;

/// Tells each step, if anybody wants to know.
#[derive(Clone, Copy)]
pub struct Steps {
    /// When the program began.
    began: Option<Instant>,
    /// Which side of the container tells.
    place: &'static str,
}

impl Steps {
    pub fn begin(is_wanted: bool) -> Steps {
        if is_wanted {
            tell("at us", "took", "where", "step", "call", "chapter");
        }
        Steps { began: is_wanted.then(Instant::now), place: "outside" }
    }

    /// The same as told by the child.
    pub fn inside(self) -> Steps {
        Steps { place: "inside", ..self }
    }

    /// One step, of this chapter, by this call.
    pub fn step<T>(
        self,
        chapter: u8,
        what: &str,
        call: &str,
        step: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let Some(began) = self.began else { return step() };
        let at = began.elapsed();
        let done = step()?;
        let took = (began.elapsed() - at).as_micros().to_string();
        let at = at.as_micros().to_string();
        tell(&at, &took, self.place, what, call, &chapter.to_string());
        Ok(done)
    }

    /// One that is not returned from.
    pub fn last(self, chapter: u8, what: &str, call: &str) {
        if let Some(began) = self.began {
            let at = began.elapsed().as_micros().to_string();
            tell(&at, "", self.place, what, call, &chapter.to_string());
        }
    }
}

/// In one piece: two processes tell at the same time.
fn tell(at: &str, took: &str, place: &str, what: &str, call: &str, chapter: &str) {
    say(&format!("{at:>7} {took:>7}  {place:7}  {what:23}  {call:19}  {chapter}"));
}
