//! Amounts as people write them: `64M`, as Docker and the kernel take it, and `0.5` seconds.

use std::fmt::Display;
use std::time::Duration;

use parse_size::Config;

/// A number of bytes, or with a suffix of the units that are 1024 times the one before: `k`, `M`,
/// `G`, `T`; also written `KiB` and so on.
///
/// # Errors
///
/// In words, for the command line.
pub fn size(text: &str) -> Result<u64, String> {
    match Config::new().with_binary().parse_size(text) {
        Ok(0) => Err("it must be more than nothing".into()),
        Ok(size) => Ok(size),
        Err(_) => Err("a size is a number and k, M, G or T, as in 64M".into()),
    }
}

/// The same for people.
pub fn in_words(bytes: u64) -> impl Display {
    let mib = bytes as f64 / f64::from(1 << 20);
    format!("{mib:.1} MiB")
}

/// A number of seconds.
///
/// # Errors
///
/// In words, for the command line.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "it is a number of seconds, as in 0.5")?;
    match (0.0..=86400.0).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err("it is at least 0, and at most the seconds of a day".into()),
    }
}
