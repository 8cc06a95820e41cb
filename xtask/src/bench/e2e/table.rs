//! The figures as tables: one wide Markdown table per link and workload for people, and rows with goals for the record.

use super::run::Figures;
use crate::bench::row::{Row, Table};
use bench_pictures::Workload;

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
            "| peer | fps (source) | latency p50 ms | p95 | worst | last | source late | kB/frame | Mbit/s | server CPU % | ms/frame | of it QEMU | client CPU % | \
             PSNR moving | settled | differing | torn % | server MB |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
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
        "| {}{} | {:.1} ({:.1}) | {:.1} | {:.1} | {:.0} | {} | {} | {:.1} | {:.2} | {:.0} | {:.1} | {:.1} | {:.0} | {} | {:.1} | {} | {:.1} | {:.0} |",
        figures.peer.name,
        if figures.viewers > 1 {
            format!(" × {}", figures.viewers)
        } else {
            String::new()
        },
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
        figures.server_per_frame(),
        figures.qemu_per_frame(),
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

/// Adds the product's rows, beside the best RDP peer of the same run.
pub fn rows(all: &[Figures], table: &mut Table) {
    viewer_rows(all, table);
    for figures in all
        .iter()
        .filter(|figures| figures.peer.name == "rdpmux" && figures.viewers == 1)
    {
        let is_rival = |other: &&Figures| {
            other.peer.is_rival() && (other.workload, other.link) == (figures.workload, figures.link)
        };
        let rivals: Vec<&Figures> = all.iter().filter(is_rival).collect();
        if figures.keys.is_some() {
            key_rows(figures, &rivals, table);
        } else {
            motion_rows(figures, &rivals, table);
        }
    }
}

/// What each viewer after the first costs, in the product.
fn viewer_rows(all: &[Figures], table: &mut Table) {
    let ours = |figures: &&Figures| figures.peer.name == "rdpmux" && figures.link == "lan";
    for figures in all.iter().filter(ours).filter(|figures| figures.viewers > 1) {
        let is_first = |other: &&Figures| other.viewers == 1 && other.workload == figures.workload;
        let Some(first) = all.iter().rev().filter(ours).find(is_first) else {
            continue;
        };
        let further = f64::from(figures.viewers - 1);
        let name = format!("e2e {} lan, {} viewers", figures.workload.name(), figures.viewers);
        let cost = (figures.server_percent() - first.server_percent()) / further / first.server_percent().max(1e-3);
        let row = Row::new(
            format!("{name}: CPU of each further one"),
            cost * 100.0,
            "% of the first",
        );
        // A viewer that loses frames costs less, which is no merit.
        let is_full = figures.motion.fps >= 0.97 * figures.motion.source_fps;
        table.push(row.goal("≤ 15 at the full rate", cost <= 0.15 && is_full));
        table.push(Row::new(
            format!("{name}: frames of the one looked at"),
            figures.motion.fps,
            "frames/s",
        ));
        let memory = (figures.memory as f64 - first.memory as f64) / further / 1024.0;
        table.push(Row::new(format!("{name}: memory of each further one"), memory, "MiB"));
    }
}

fn motion_rows(figures: &Figures, rivals: &[&Figures], table: &mut Table) {
    let name = format!("e2e {} {}", figures.workload.name(), figures.link);
    let motion = &figures.motion;
    let frames = Row::new(format!("{name} frames"), motion.fps, "frames/s");
    let latency = Row::new(format!("{name} latency p50"), motion.p50, "ms");
    // What 2 Mbit/s cannot carry is held against the peers instead of the source.
    if figures.link == "2m100" {
        let best = best(rivals, |rival| -rival.motion.fps);
        table.push(against(
            frames,
            best.map(|rival| (rival, motion.fps / rival.motion.fps)),
            2.0,
        ));
        table.push(against(
            latency,
            best.map(|rival| (rival, rival.motion.p50 / motion.p50)),
            2.0,
        ));
    } else {
        let share = motion.fps / motion.source_fps.max(1e-3);
        table.push(
            frames
                .beside("source", share)
                .goal("the source's full rate", share >= 0.97),
        );
        table.push(beside(latency, figures, rivals, |figures| figures.motion.p50, None));
    }
    let bytes = Row::new(format!("{name} bytes"), figures.bytes_per_frame(), "B/frame");
    table.push(beside(bytes, figures, rivals, Figures::bytes_per_frame, Some(2.0)));
    let time = Row::new(format!("{name} server CPU"), figures.server_per_frame(), "ms/frame");
    table.push(beside(time, figures, rivals, Figures::server_per_frame, Some(2.0)));
    table.push(Row::new(
        format!("{name} server CPU, of it QEMU's"),
        figures.qemu_per_frame(),
        "ms/frame",
    ));
    let differing = figures.differing as f64;
    table.push(Row::new(format!("{name} settled"), differing, "pixels differ").goal("0", figures.differing == 0));
}

fn key_rows(figures: &Figures, rivals: &[&Figures], table: &mut Table) {
    let name = format!("e2e {} {}", figures.workload.name(), figures.link);
    let motion = &figures.motion;
    let mut row = Row::new(format!("{name} key to pixel p50"), motion.p50, "ms");
    if let Some(rival) = best(rivals, |rival| rival.motion.p50) {
        row = row.beside(rival.peer.name, rival.motion.p50 / motion.p50);
    }
    table.push(match figures.link {
        "lan" => row.goal("≤ 10 ms", motion.p50 <= 10.0),
        "20m40" => row.goal("≤ 60 ms", motion.p50 <= 60.0),
        _ => row,
    });
    table.push(Row::new(format!("{name} key to pixel p95"), motion.p95, "ms"));
    let bytes = Row::new(format!("{name} bytes"), figures.bytes_per_frame(), "B/key");
    let bytes = beside(bytes, figures, rivals, Figures::bytes_per_frame, None);
    table.push(if figures.workload == Workload::Echo {
        bytes.goal("≤ 1000", figures.bytes_per_frame() <= 1000.0)
    } else {
        bytes
    });
    let lost = figures.keys.as_ref().map_or(0, |keys| keys.lost);
    table.push(Row::new(format!("{name} keys lost"), lost as f64, "keys").goal("0", lost == 0));
}

/// The rival that is best by `cost`.
fn best<'a>(rivals: &[&'a Figures], cost: impl Fn(&Figures) -> f64) -> Option<&'a Figures> {
    // A rival that delivered nothing has no figures.
    let seen = rivals.iter().filter(|rival| rival.motion.frames > 1);
    seen.min_by(|one, two| cost(one).total_cmp(&cost(two))).copied()
}

/// Beside the best rival by `cost`; with `times`, the goal is to cost so many times less.
fn beside(row: Row, figures: &Figures, rivals: &[&Figures], cost: fn(&Figures) -> f64, times: Option<f64>) -> Row {
    let best = best(rivals, cost).map(|rival| (rival, cost(rival) / cost(figures).max(1e-9)));
    match times {
        Some(times) => against(row, best, times),
        None => best.map_or(row.clone(), |(rival, ratio)| row.beside(rival.peer.name, ratio)),
    }
}

fn against(row: Row, best: Option<(&Figures, f64)>, times: f64) -> Row {
    match best {
        Some((rival, ratio)) => row
            .beside(rival.peer.name, ratio)
            .goal(format!("≥ {times}× better than the best RDP peer"), ratio >= times),
        None => row,
    }
}
