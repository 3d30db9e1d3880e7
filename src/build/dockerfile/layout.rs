//! A Dockerfile as it is given to the engine: read once, checked, and written again in a form that can be read in one way only.
//!
//! The engine's parser and this one need not agree on every corner of the grammar. So the engine never gets a tenant's text:
//! it gets each instruction on a line of its own, without comments, directives and continuation lines, and the images that
//! it names replaced by names that were given to what was checked.

mod reader;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use self::reader::{Reader, check_trigger, platform, stage_name};
use super::super::BuildError;
use super::super::ca;
use super::super::instructions::{HereDocuments, Instruction, escape_character, instructions};
use super::flags::Flags;
use super::inside;
use super::script::Shell;
use crate::model::{Frontend, ImageReference};

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// The empty image.
    Scratch,
    /// An earlier stage of this Dockerfile, counted from 0.
    Stage(usize),
    /// Anything else.
    Image(ImageReference),
}

/// An instruction and what it draws on.
#[derive(Debug)]
struct Step {
    instruction: Instruction,
    flags: Vec<String>,
    rest: String,
    /// The base of a `FROM`.
    base: Option<Origin>,
    /// Flags that name an origin, by their place among the flags.
    origins: BTreeMap<usize, Origin>,
}

#[derive(Debug)]
struct Stage {
    name: Option<String>,
    runs: bool,
    base: Origin,
}

/// A Dockerfile that was read and checked.
#[derive(Debug)]
pub(super) struct Layout {
    escape: char,
    steps: Vec<Step>,
    stages: Vec<Stage>,
    lines: Vec<String>,
    here: HereDocuments,
}

/// What goes into a Dockerfile beside what its author wrote.
pub(super) struct Additions<'a> {
    /// Names given to the images that it draws on.
    pub names: &'a BTreeMap<ImageReference, String>,
    /// A name that no other app's builds have, lower case, usable as one of a stage and of a folder.
    pub salt: &'a str,
    /// The image to copy the CA bundle from.
    pub ca_image: Option<&'a str>,
    /// The frontend that the operator trusts with it.
    pub frontend: Option<&'a Frontend>,
    /// Whether the build's files lie in a folder of their own, see [`inside`].
    pub is_inside: bool,
}

impl Layout {
    /// Reads a Dockerfile for an engine that knows here-documents or does not. `args` are the build arguments that it gets.
    ///
    /// # Errors
    /// [`BuildError::Refused`] names the line and says what to write instead.
    pub fn read(
        path: &str,
        text: &str,
        here: HereDocuments,
        args: &BTreeMap<String, String>,
    ) -> Result<Self, BuildError> {
        let escape = escape_character(text);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let (steps, stages) = Default::default();
        let mut reader = Reader { path, escape, args, variables: platform(), steps, stages, lines: &lines, here };
        let instructions = instructions(text);
        let names = instructions.iter().filter(|i| i.keyword == "from").map(|from| stage_name(from, escape));
        let names: Vec<_> = names.collect();
        for instruction in instructions {
            reader.take(instruction, &names)?;
        }
        if reader.stages.is_empty() {
            return Err(BuildError::Refused(format!(
                "{path} has no FROM, so there is nothing to build on: add one, commit and push again."
            )));
        }
        let (steps, stages) = (reader.steps, reader.stages);
        Ok(Self { escape, steps, stages, lines, here })
    }

    /// The images that it draws on.
    pub fn images(&self) -> BTreeSet<&ImageReference> {
        let origins = self.steps.iter().flat_map(|step| step.base.iter().chain(step.origins.values()));
        origins.filter_map(|origin| if let Origin::Image(image) = origin { Some(image) } else { None }).collect()
    }

    /// How many stages its author wrote.
    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// The text for the engine.
    ///
    /// First of all a stage named after the salt, with an empty folder of that name. Each stage that stands on no other
    /// begins by copying what is in it, nothing: that adds no file, and makes the stage's place in the engine's cache one
    /// of this salt alone, as a step is found there by its own text and all that it stands on.
    pub fn write(&self, additions: &Additions<'_>) -> String {
        let mut text = String::new();
        if let Some(frontend) = additions.frontend {
            _ = writeln!(text, "# syntax={frontend}");
        }
        if self.escape != '\\' {
            _ = writeln!(text, "# escape={}", self.escape);
        }
        let (mut stage, mut shells) = (0, Vec::new());
        for step in &self.steps {
            let from = step.base.as_ref().map(|base| (base, stage));
            if from == Some((&self.stages[0].base, 0)) {
                _ = writeln!(text, "FROM scratch AS {salt}\nWORKDIR /{salt}", salt = additions.salt);
            }
            match (&step.base, step.instruction.keyword.as_str()) {
                (Some(Origin::Stage(number)), _) => shells.push(shells.get(*number).cloned().unwrap_or_default()),
                (Some(_), _) => shells.push(Shell::default()),
                (None, "shell") => {
                    if let Some(shell) = shells.last_mut() {
                        shell.change(&step.rest);
                    }
                }
                (None, _) => {}
            }
            self.write_step(&mut text, step, additions, shells.last());
            if let Some((base, number)) = from {
                if !matches!(base, Origin::Stage(_)) {
                    _ = writeln!(text, "COPY --from={salt} /{salt}/ /", salt = additions.salt);
                }
                if let (Some(image), true) = (additions.ca_image, self.stages[number].runs) {
                    text.push_str(&ca::block(image, self.has_bundle(base)));
                }
                stage += 1;
            }
        }
        text
    }

    /// Whether a stage on this base has the CA bundle already.
    fn has_bundle(&self, base: &Origin) -> bool {
        match base {
            Origin::Stage(number) => self.stages[*number].runs || self.has_bundle(&self.stages[*number].base),
            Origin::Scratch | Origin::Image(_) => false,
        }
    }

    fn write_step(&self, text: &mut String, step: &Step, additions: &Additions<'_>, shell: Option<&Shell>) {
        let names = additions.names;
        text.push_str(&step.instruction.keyword.to_ascii_uppercase());
        for (number, flag) in step.flags.iter().enumerate() {
            let flag = match step.origins.get(&number) {
                None if additions.is_inside => inside::mount_inside(flag),
                None => flag.clone(),
                Some(origin) => with_origin(flag, &self.written(origin, names)),
            };
            _ = write!(text, " {flag}");
        }
        if let Some(base) = &step.base {
            let base = match base {
                // By name: BuildKit knows no numbers here.
                Origin::Stage(number) => self.stages[*number].name.clone().unwrap_or_default(),
                other => self.written(other, names),
            };
            _ = write!(text, " {base}");
        }
        let documents = &self.lines[step.instruction.documents.clone()];
        if let (HereDocuments::Unknown, Some(shell), false) = (self.here, shell, documents.is_empty()) {
            let line = Flags::of(&step.rest).rest;
            let flags = &step.rest[..step.rest.len() - line.len()];
            _ = writeln!(text, " {flags}{}", shell.exec(line, documents, self.escape));
            return;
        }
        match step.instruction.keyword.as_str() {
            "copy" | "add" if additions.is_inside && step.origins.is_empty() => {
                _ = writeln!(text, " {}", inside::sources_inside(&step.rest, self.escape));
            }
            _ => _ = writeln!(text, " {}", step.rest),
        }
        for line in documents {
            _ = writeln!(text, "{line}");
        }
    }

    fn written(&self, origin: &Origin, names: &BTreeMap<ImageReference, String>) -> String {
        match origin {
            Origin::Scratch => "scratch".to_owned(),
            Origin::Stage(number) => match &self.stages[*number].name {
                Some(name) => name.clone(),
                // One stage was put before all of them.
                None => (number + 1).to_string(),
            },
            Origin::Image(image) => names.get(image).cloned().unwrap_or_else(|| image.to_string()),
        }
    }
}

/// The flag `--from=x` or `--mount=type=bind,from=x,...` with another origin.
fn with_origin(flag: &str, origin: &str) -> String {
    if flag.starts_with("--from=") {
        return format!("--from={origin}");
    }
    let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
    let fields = value.split(',').map(|field| match field.split_once('=') {
        Some((key, _)) if key.eq_ignore_ascii_case("from") => format!("{key}={origin}"),
        _ => field.to_owned(),
    });
    format!("{name}={}", fields.collect::<Vec<_>>().join(","))
}

impl Layout {
    /// Whether an instruction that a base image brings along (`ONBUILD`) may run here.
    ///
    /// # Errors
    /// As [`check_trigger`].
    pub fn check_trigger(&self, trigger: &str) -> Result<(), String> {
        let names: Vec<_> = self.stages.iter().map(|stage| stage.name.clone()).collect();
        check_trigger(trigger, '\\', &names)
    }
}
