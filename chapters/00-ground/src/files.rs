//! Files that the kernel makes up when somebody reads them: of `/proc`, of cgroups.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The text of such a file. It has no size to go by, and to make it up piece by piece takes longer
/// than to hand it over: so it is read in pieces that are large enough for most.
///
/// # Errors
///
/// Those of `open(2)` and `read(2)`.
pub fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(8 << 10);
    // Taken by a reader that does not know it is a file, and so does not ask for its size.
    File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    // A path in it may be any bytes.
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}
