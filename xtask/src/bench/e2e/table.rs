//! The figures as tables: one wide Markdown table per link and workload for people, and rows with goals for the record.

use super::run::Figures;
use crate::bench::row::{Row, Table};

/// Prints one table per link and workload.
pub fn print(all: &[Figures]) {
    let mut groups: Vec<(&str, &str)> = Vec::new();
    for figures in all {
        let group = (figures.link, figures.workload.name());
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    for (link, workload) in groups {
        println!("\n### {workload}, {link}\n");
        println!(
            "| peer | fps (source) | latency p50 ms | p95 | worst | last | source late | kB/frame | Mbit/s | server CPU % | ms/frame | client CPU % | \
             PSNR moving | settled | differing | torn % | server MB |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
        for figures in all
            .iter()
            .filter(|figures| (figures.link, figures.workload.name()) == (link, workload))
        {
            println!("{}", line(figures));
        }
    }
    println!();
}

fn line(figures: &Figures) -> String {
    let motion = &figures.motion;
    format!(
        "| {} | {:.1} ({:.1}) | {:.1} | {:.1} | {:.0} | {} | {} | {:.1} | {:.2} | {:.0} | {:.1} | {:.0} | {} | {:.1} | {} | {:.1} | {:.0} |",
        figures.peer,
        motion.fps,
        motion.source_fps,
        motion.p50,
        motion.p95,
        motion.worst,
        motion.last.map_or_else(|| "never".to_owned(), |ms| format!("{ms:.0}")),
        motion.source_late,
        figures.bytes_per_frame() / 1e3,
        figures.bytes as f64 * 8e-6 / figures.seconds,
        figures.server_percent(),
        figures.server * 1e3 / motion.frames.max(1) as f64,
        figures.client * 100.0 / figures.seconds,
        figures
            .moving_psnr
            .map_or_else(|| "-".to_owned(), |psnr| format!("{psnr:.1}")),
        figures.settled_psnr,
        figures.differing,
        motion.torn * 100.0,
        figures.memory as f64 / 1024.0,
    )
}

/// Adds the rows.
pub fn rows(all: &[Figures], table: &mut Table) {
    for figures in all.iter().filter(|figures| figures.peer == "rdpmux") {
        let name = format!("e2e {} {}", figures.workload.name(), figures.link);
        let motion = &figures.motion;
        let is_full = motion.fps >= 0.97 * motion.source_fps;
        if let Some(keys) = &figures.keys {
            table.push(Row::new(format!("{name} key to pixel p50"), motion.p50, "ms"));
            table.push(Row::new(format!("{name} key to pixel p95"), motion.p95, "ms"));
            table.push(Row::new(format!("{name} bytes"), figures.bytes_per_frame(), "B/key"));
            table.push(Row::new(format!("{name} keys lost"), keys.lost as f64, "").goal("0", keys.lost == 0));
            continue;
        }
        table.push(
            Row::new(format!("{name} frames"), motion.fps, "frames/s")
                .beside("source", motion.fps / motion.source_fps.max(1e-3))
                .goal("the source's full rate", is_full),
        );
        table.push(Row::new(format!("{name} latency p50"), motion.p50, "ms"));
        table.push(Row::new(format!("{name} bytes"), figures.bytes_per_frame(), "B/frame"));
        table.push(Row::new(format!("{name} server CPU"), figures.server_percent(), "%"));
        table.push(
            Row::new(format!("{name} settled"), figures.differing as f64, "pixels differ")
                .goal("0", figures.differing == 0),
        );
    }
}
