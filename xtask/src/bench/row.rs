//! Rows of a bench: one figure each, beside its peer and its goal. Printed as a Markdown table and kept as JSON, one
//! object per row. Measures nothing itself; filled by `codec` and `e2e`.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was measured, unique in its table: the words from the general to the particular.
    pub row: String,
    /// How much.
    pub figure: f64,
    /// Of what.
    pub unit: String,
    /// Who did the same work in the same run.
    pub peer: Option<String>,
    /// Our figure divided by the peer's, or the other way round where less is better: above 1 is better than the peer.
    pub ratio: Option<f64>,
    /// What was aimed at, in words.
    pub goal: Option<String>,
    /// Whether the goal is reached; `None` without a goal.
    pub holds: Option<bool>,
}

/// The rows of one bench, in the order in which they were measured.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

#[allow(dead_code, reason = "made by the benches of xtask itself")]
impl Row {
    /// A figure alone.
    pub fn new(row: impl Into<String>, figure: f64, unit: impl Into<String>) -> Self {
        Self {
            row: row.into(),
            figure,
            unit: unit.into(),
            peer: None,
            ratio: None,
            goal: None,
            holds: None,
        }
    }

    /// Beside a peer; `ratio` is above 1 where we are better.
    #[must_use]
    pub fn beside(mut self, peer: impl Into<String>, ratio: f64) -> Self {
        self.peer = Some(peer.into());
        self.ratio = Some(ratio);
        self
    }

    /// Held against a goal.
    #[must_use]
    pub fn goal(mut self, goal: impl Into<String>, holds: bool) -> Self {
        self.goal = Some(goal.into());
        self.holds = Some(holds);
        self
    }

    /// As an object of JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "row": self.row, "figure": self.figure, "unit": self.unit, "peer": self.peer, "ratio": self.ratio,
            "goal": self.goal, "holds": self.holds,
        })
    }

    /// Of a line that a measuring program wrote.
    ///
    /// # Errors
    /// When it is no such object.
    pub fn from_json(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).with_context(|| format!("no row: {text}"))?;
        let word = |name: &str| value[name].as_str().map(str::to_owned);
        Ok(Self {
            row: word("row").with_context(|| format!("no `row` in {text}"))?,
            figure: value["figure"]
                .as_f64()
                .with_context(|| format!("no `figure` in {text}"))?,
            unit: word("unit").with_context(|| format!("no `unit` in {text}"))?,
            peer: word("peer"),
            ratio: value["ratio"].as_f64(),
            goal: word("goal"),
            holds: value["holds"].as_bool(),
        })
    }
}

impl Table {
    /// Adds a row at the end.
    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints the rows as a Markdown table, and how many goals hold.
    pub fn print_markdown(&self) {
        print!("{}", self.markdown());
    }

    /// Writes one JSON object per line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let text: String = self.rows.iter().map(|row| format!("{}\n", row.to_json())).collect();
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn markdown(&self) -> String {
        let mut text =
            "| what | figure | unit | peer | ratio | goal | holds |\n|---|---:|---|---|---:|---|---|\n".to_owned();
        for row in &self.rows {
            let ratio = row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            let holds = row.holds.map_or("", |holds| if holds { "yes" } else { "**no**" });
            text += &format!(
                "| {} | {} | {} | {} | {ratio} | {} | {holds} |\n",
                row.row,
                figure(row.figure),
                row.unit,
                row.peer.as_deref().unwrap_or_default(),
                row.goal.as_deref().unwrap_or_default(),
            );
        }
        let goals = self.rows.iter().filter_map(|row| row.holds);
        let (all, held) = goals.fold((0, 0), |(all, held), holds| (all + 1, held + u32::from(holds)));
        text + &format!("\n{held} of {all} goals hold.\n")
    }
}

/// Three digits that count, without an exponent.
fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_its_json() {
        let row = Row::new("text 1080p clear", 0.44, "bit/pixel").goal("≤ 0.50", true);
        assert_eq!(Row::from_json(&row.to_json().to_string()).unwrap(), row);
        let row = Row::new("scroll \"fast\"", 4e6, "B").beside("xrdp", 2.5);
        assert_eq!(Row::from_json(&row.to_json().to_string()).unwrap(), row);
        assert!(Row::from_json("{}").is_err());
    }

    #[test]
    fn the_table_says_which_goals_hold() {
        let mut table = Table::default();
        table.push(Row::new("a", 1234.5, "B").beside("b", 0.5).goal("≤ 1 kB", false));
        table.push(Row::new("c", 0.123, "ms"));
        let text = table.markdown();
        assert!(
            text.contains("| a | 1234 | B | b | 0.50 | ≤ 1 kB | **no** |\n| c | 0.12 | ms |  |  |  |  |\n"),
            "{text}"
        );
        assert!(text.ends_with("\n0 of 1 goals hold.\n"));
    }
}
