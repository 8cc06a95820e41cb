//! What the server logs, for tests that look for a line. Lines of all tests are kept, so look for words that are yours.

use std::io::Write;
use std::sync::{LazyLock, Mutex};

use tracing::Level;

static KEPT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// For all threads: what one thread hears only, another may have switched off.
static KEEPER: LazyLock<()> = LazyLock::new(|| {
    let keeper = tracing_subscriber::fmt().with_max_level(Level::INFO).with_ansi(false);
    keeper.with_writer(|| Keeper).init();
});

struct Keeper;

impl Write for Keeper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        KEPT.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Keeps lines from now on.
pub fn keep() {
    LazyLock::force(&KEEPER);
}

/// Whether there is a line with all these words.
pub fn has(words: &[&str]) -> bool {
    let kept = KEPT.lock().unwrap();
    String::from_utf8_lossy(&kept)
        .lines()
        .any(|line| words.iter().all(|word| line.contains(word)))
}
