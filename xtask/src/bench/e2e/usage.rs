//! Processor time and memory of our peers' process trees, from /proc. Of QEMU, the threads that run the guest do not
//! count: they are the source, everything else of it serves the display.

use anyhow::Result;
use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// Process `root` and all below it.
pub fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(parent) = stat(&format!("/proc/{id}/stat")).and_then(|(_, fields)| fields.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let below = children.get(&found[at]).cloned().unwrap_or_default();
        found.extend(below);
        at += 1;
    }
    found
}

/// Processor time of these processes so far, without guests' processors.
pub fn time(ids: &[u32]) -> Duration {
    let ticks: u64 = ids.iter().map(|id| ticks(*id)).sum();
    // USER_HZ is 100 on every Linux that we know.
    Duration::from_millis(ticks * 10)
}

/// Of it, what QEMU itself used: the display device's refresh, and what it tells its listeners.
pub fn time_of_qemu(ids: &[u32]) -> Duration {
    let is_qemu = |id: &&u32| stat(&format!("/proc/{id}/stat")).is_some_and(|(name, _)| is_qemu(&name));
    let ids: Vec<u32> = ids.iter().filter(is_qemu).copied().collect();
    time(&ids)
}

/// Processor time of the threads of process `id` that are called `name`.
pub fn time_of_threads(id: u32, name: &str) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let stats = tasks.filter_map(|entry| stat(&entry.path().join("stat").to_string_lossy()));
    let ticks: u64 = stats
        .filter(|(own, _)| own == name)
        .map(|(_, fields)| used(&fields))
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Memory of these processes in KiB, shared pages by halves (PSS).
///
/// # Errors
/// When none of them lives.
pub fn memory(ids: &[u32]) -> Result<u64> {
    let of = |id: &u32| {
        let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let sum = ids.iter().filter_map(of).sum();
    anyhow::ensure!(sum > 0, "the measured processes have ended");
    Ok(sum)
}

/// Share of all processors' time that was busy since `before`, and the state now.
pub fn machine() -> (u64, u64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let numbers: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let all: u64 = numbers.iter().take(8).sum();
    (all - numbers.get(3).unwrap_or(&0) - numbers.get(4).unwrap_or(&0), all)
}

fn ticks(id: u32) -> u64 {
    let Some((name, fields)) = stat(&format!("/proc/{id}/stat")) else {
        return 0;
    };
    if !is_qemu(&name) {
        return used(&fields);
    }
    let mut sum = 0;
    for entry in fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
        let path = entry.path().join("stat");
        if let Some((name, fields)) = stat(&path.to_string_lossy())
            && !name.starts_with("CPU ")
        {
            sum += used(&fields);
        }
    }
    sum
}

/// Ticks in user and kernel mode.
fn used(fields: &[String]) -> u64 {
    let words = fields.iter().skip(11).take(2);
    words.filter_map(|word| word.parse::<u64>().ok()).sum()
}

fn is_qemu(name: &str) -> bool {
    name.starts_with("qemu-system")
}

/// The name and the fields after it.
fn stat(path: &str) -> Option<(String, Vec<String>)> {
    let text = fs::read_to_string(path).ok()?;
    let (start, end) = (text.find('(')?, text.rfind(')')?);
    Some((
        text[start + 1..end].to_owned(),
        text[end + 1..].split_whitespace().map(str::to_owned).collect(),
    ))
}
