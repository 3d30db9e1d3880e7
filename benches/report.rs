//! What is said of the measurements, on the terminal and in `BENCHMARKS.md`.

use std::fmt::Write;

use crate::machine::Fact;
use crate::stats::Samples;

/// One thing that was looked into.
#[derive(Debug)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// What was done on both sides.
    pub how: String,
    /// What Slipway is compared with.
    pub baseline: &'static str,
    /// The figures.
    pub rows: Vec<Row>,
    /// Where the time goes.
    pub steps: Vec<Steps>,
}

/// One figure.
#[derive(Debug)]
pub struct Row {
    what: String,
    unit: Unit,
    ours: Samples,
    theirs: Samples,
    aim: Option<Aim>,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy)]
pub enum Unit {
    Seconds,
    Milliseconds,
    FineMilliseconds,
    PerSecond,
    Mebibytes,
    Count,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Aim {
    /// Of the ratio.
    RatioAtMost(f64),
    /// Of the ratio.
    RatioAtLeast(f64),
    /// Of Slipway's own median.
    AtMost(f64),
    /// Of Slipway's own median.
    AtLeast(f64),
}

impl Row {
    /// Slipway beside the baseline.
    pub fn compared(what: impl Into<String>, unit: Unit, ours: Samples, theirs: Samples) -> Self {
        Self { what: what.into(), unit, ours, theirs, aim: None }
    }

    /// A figure with no baseline.
    pub fn alone(what: impl Into<String>, unit: Unit, ours: Samples) -> Self {
        Self::compared(what, unit, ours, Samples::default())
    }

    /// With an aim.
    pub fn aim(self, aim: Aim) -> Self {
        Self { aim: Some(aim), ..self }
    }

    fn ratio(&self) -> Option<f64> {
        (!self.theirs.is_empty()).then(|| self.ours.median() / self.theirs.median())
    }

    fn ratio_text(&self) -> String {
        self.ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
    }

    /// The ratios of single rounds, lowest and highest.
    fn spread_text(&self) -> String {
        if self.theirs.is_empty() {
            return "-".to_owned();
        }
        let ratios = self.ours.ratios(&self.theirs);
        format!("{:.2} to {:.2}", ratios.min(), ratios.max())
    }

    fn aim_text(&self) -> String {
        match self.aim {
            None => "-".to_owned(),
            Some(Aim::RatioAtMost(bound)) => format!("at most {bound}"),
            Some(Aim::RatioAtLeast(bound)) => format!("at least {bound}"),
            Some(Aim::AtLeast(bound)) => format!("at least {}", self.unit.with_name(bound)),
            Some(Aim::AtMost(bound)) => format!("at most {}", self.unit.with_name(bound)),
        }
    }

    fn is_met(&self) -> Option<bool> {
        match self.aim? {
            Aim::RatioAtMost(bound) => self.ratio().map(|ratio| ratio <= bound),
            Aim::RatioAtLeast(bound) => self.ratio().map(|ratio| ratio >= bound),
            Aim::AtLeast(bound) => Some(self.ours.median() >= bound),
            Aim::AtMost(bound) => Some(self.ours.median() <= bound),
        }
    }

    fn met_text(&self) -> &'static str {
        match self.is_met() {
            None => "-",
            Some(true) => "yes",
            Some(false) => "**no**",
        }
    }

    fn figures(&self, samples: &Samples) -> String {
        if samples.is_empty() {
            return "-".to_owned();
        }
        let [min, median, max] = [samples.min(), samples.median(), samples.max()].map(|value| self.unit.text(value));
        format!("{min} / **{median}** / {max} {}", self.unit.name())
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds | Self::FineMilliseconds => "ms",
            Self::PerSecond => "/s",
            Self::Mebibytes => "MiB",
            Self::Count => "",
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Self::Seconds | Self::FineMilliseconds => format!("{value:.2}"),
            Self::Milliseconds | Self::PerSecond | Self::Count => format!("{value:.0}"),
            Self::Mebibytes => format!("{value:.1}"),
        }
    }

    fn with_name(self, value: f64) -> String {
        format!("{} {}", self.text(value), self.name())
    }
}

/// When the steps of a deploy were done, in milliseconds from its start.
#[derive(Debug)]
pub struct Steps {
    side: &'static str,
    steps: Vec<(&'static str, Samples)>,
}

impl Steps {
    /// None yet.
    pub fn new(side: &'static str) -> Self {
        Self { side, steps: Vec::new() }
    }

    /// A step was done.
    pub fn note(&mut self, name: &'static str, milliseconds: f64) {
        match self.steps.iter_mut().find(|(known, _)| *known == name) {
            Some((_, samples)) => samples.push(milliseconds),
            None => self.steps.push((name, [milliseconds].into_iter().collect())),
        }
    }

    fn text(&self) -> String {
        let mut steps: Vec<_> = self.steps.iter().map(|(name, samples)| (samples.median(), *name)).collect();
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        steps.iter().map(|(at, name)| format!("{name} {at:.0}")).collect::<Vec<_>>().join(" · ")
    }
}

/// The figures of a section in a few columns, for the terminal.
pub fn table(section: &Section) -> String {
    let mut text = String::new();
    for row in &section.rows {
        let ours = row.unit.with_name(row.ours.median());
        let theirs = match row.theirs.is_empty() {
            true => String::new(),
            false => format!("{} {}", section.baseline, row.unit.with_name(row.theirs.median())),
        };
        let met = row.is_met().map_or("", |met| if met { "met" } else { "MISSED" });
        let aim = if row.aim.is_some() { format!("aim {}: {met}", row.aim_text()) } else { String::new() };
        let line = format!("       {:50} {ours:>10} {theirs:>26} {:>6}  {aim}", row.what, row.ratio_text());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for steps in &section.steps {
        let _ = writeln!(text, "       {}, ms: {}", steps.side, steps.text());
    }
    text
}

/// The whole report. The same figures always give the same text.
pub fn markdown(machine: &[Fact], sections: &[Section]) -> String {
    let mut text = String::from(
        "# Benchmarks\n\nWritten by `make bench`. Each figure of Slipway stands beside a baseline that was taken in the \
         same run, in turns: round by round, with the order changed each time. Figures are minimum / **median** / \
         maximum; the ratio is Slipway's median to the baseline's, and its spread is that of single rounds. For times \
         less than 1 is better than the baseline, for rates more.\n\n## Aims\n\n| figure | ratio or value | aim | met |\n\
         | --- | --- | --- | --- |\n",
    );
    for (section, row) in sections.iter().flat_map(|section| section.rows.iter().map(move |row| (section, row))) {
        if row.aim.is_some() {
            let is_absolute = matches!(row.aim, Some(Aim::AtMost(_) | Aim::AtLeast(_)));
            let ratio = row.ratio().filter(|_| !is_absolute);
            let value = ratio.map_or_else(|| row.unit.with_name(row.ours.median()), |ratio| format!("{ratio:.2}"));
            let name = if section.baseline.is_empty() || is_absolute {
                row.what.clone()
            } else {
                format!("{} / {}", row.what, section.baseline)
            };
            let _ = writeln!(text, "| {name} | {value} | {} | {} |", row.aim_text(), row.met_text());
        }
    }
    text.push_str("\n## Machine\n\n| what | which |\n| --- | --- |\n");
    for (name, value) in machine {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    for section in sections {
        text.push_str(&section_text(section));
    }
    text
}

fn section_text(section: &Section) -> String {
    let rounds = section.rows.iter().map(|row| row.ours.len()).max().unwrap_or_default();
    let mut text = format!("\n## {}\n\n{} {rounds} rounds.\n\n", section.title, section.how);
    let baseline = if section.baseline.is_empty() { "baseline" } else { section.baseline };
    let _ = writeln!(text, "| figure | Slipway | {baseline} | ratio | spread | aim | met |");
    text.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    for row in &section.rows {
        let (ours, theirs) = (row.figures(&row.ours), row.figures(&row.theirs));
        let (ratio, spread, aim, met) = (row.ratio_text(), row.spread_text(), row.aim_text(), row.met_text());
        let _ = writeln!(text, "| {} | {ours} | {theirs} | {ratio} | {spread} | {aim} | {met} |", row.what);
    }
    for steps in &section.steps {
        let _ = write!(text, "\nWhere the time goes, {}, ms from the start (medians): {}.\n", steps.side, steps.text());
    }
    text
}
