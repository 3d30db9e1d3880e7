//! Reads a Dockerfile: what each instruction draws on, and whether that can be told.

use std::collections::BTreeMap;

use super::super::super::BuildError;
use super::super::super::instructions::{HereDocuments, Instruction, raw_words, unquoted};
use super::super::expand::expand;
use super::super::flags::Flags;
use super::super::script::Shell;
use super::{Origin, Stage, Step};

/// What BuildKit tells of the platform before the first stage.
pub(super) fn platform() -> BTreeMap<String, String> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut variables = BTreeMap::new();
    for whose in ["TARGET", "BUILD"] {
        for (name, value) in [("OS", "linux"), ("ARCH", arch), ("VARIANT", "")] {
            variables.insert(format!("{whose}{name}"), value.to_owned());
        }
        variables.insert(format!("{whose}PLATFORM"), format!("linux/{arch}"));
    }
    variables
}

/// How a `FROM` names its stage, in lower case: stage names do not mind case.
pub(super) fn stage_name(from: &Instruction, escape: char) -> Option<String> {
    match &raw_words(Flags::of(&from.rest).rest, escape)[..] {
        [_, keyword, name, ..] if keyword.eq_ignore_ascii_case("as") => Some(name.to_ascii_lowercase()),
        _ => None,
    }
}

/// Takes the instructions of a Dockerfile one by one.
pub(super) struct Reader<'a> {
    pub path: &'a str,
    pub escape: char,
    pub args: &'a BTreeMap<String, String>,
    /// What may stand in the name of a base.
    pub variables: BTreeMap<String, String>,
    pub steps: Vec<Step>,
    pub stages: Vec<Stage>,
    pub lines: &'a [String],
    pub here: HereDocuments,
}

impl Reader<'_> {
    pub fn take(&mut self, instruction: Instruction, names: &[Option<String>]) -> Result<(), BuildError> {
        let keyword = instruction.keyword.as_str();
        if !keyword.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(self.refused(&instruction, &format!("unknown instruction '{}'", keyword.escape_debug())));
        }
        if let Some(problem) = self.unknown_document(&instruction) {
            return Err(self.refused(&instruction, problem));
        }
        if instruction.rest.ends_with(self.escape) {
            let text = format!("the instruction ends with '{}': write it without", self.escape);
            return Err(self.refused(&instruction, &text));
        }
        let mut step = Step {
            flags: Vec::new(),
            rest: instruction.rest.clone(),
            base: None,
            origins: BTreeMap::new(),
            instruction,
        };
        match step.instruction.keyword.as_str() {
            "from" => self.take_from(&mut step)?,
            "copy" | "add" | "run" => self.take_flags(&mut step, names)?,
            "onbuild" => {
                let trigger = step.instruction.rest.clone();
                if let Err(problem) = check_trigger(&trigger, self.escape, names) {
                    return Err(self.refused(&step.instruction, &problem));
                }
            }
            "arg" if self.stages.is_empty() => self.take_global(&step.instruction),
            _ => {}
        }
        self.steps.push(step);
        Ok(())
    }

    /// What cannot be said to an engine that does not know here-documents.
    fn unknown_document(&self, instruction: &Instruction) -> Option<&'static str> {
        let documents = &self.lines[instruction.documents.clone()];
        if self.here == HereDocuments::Known || documents.is_empty() {
            return None;
        }
        match instruction.keyword.as_str() {
            "run" if Shell::is_program(Flags::of(&instruction.rest).rest, documents, self.escape) => Some(
                "this server's container engine (before version 23) runs no here-document that begins with '#!': name its \
                 program (RUN python3 <<EOF)",
            ),
            "run" => None,
            _ => Some(
                "this server's container engine (before version 23) knows here-documents in RUN only: commit the text as a file \
                 and copy that",
            ),
        }
    }

    /// What is declared before the first stage may stand in the names of bases.
    fn take_global(&mut self, arg: &Instruction) {
        for word in raw_words(&arg.rest, self.escape) {
            let (name, default) =
                word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            let given = self.args.get(name).cloned();
            let value = given.or_else(|| expand(default?, self.escape, &self.variables));
            match value {
                Some(value) => _ = self.variables.insert(name.to_owned(), value),
                None => _ = self.variables.remove(name),
            }
        }
    }

    fn take_from(&mut self, step: &mut Step) -> Result<(), BuildError> {
        let from = &step.instruction;
        let flags = Flags::of(&from.rest);
        if !flags.is_plain {
            return Err(self.refused(from, "write the flags of FROM without quotes and escapes"));
        }
        let words = raw_words(flags.rest, self.escape);
        let Some((word, more)) = words.split_first() else {
            return Err(self.refused(from, "FROM names nothing to build on"));
        };
        let base = expand(word, self.escape, &self.variables).ok_or_else(|| {
            self.refused(from, &format!("'{}' cannot be resolved: name the image itself", word.escape_debug()))
        })?;
        let lower = base.to_ascii_lowercase();
        let earlier = self.stages.iter().rposition(|stage| stage.name.as_deref() == Some(&*lower));
        let origin = match earlier {
            Some(number) => Origin::Stage(number),
            None if base == "scratch" => Origin::Scratch,
            None => Origin::Image(base.parse().map_err(|error| self.refused(from, &format!("FROM: {error}")))?),
        };
        step.base = Some(origin.clone());
        step.rest = more.join(" ");
        step.flags = flags.flags;
        self.stages.push(Stage { name: stage_name(from, self.escape), runs: false, base: origin });
        Ok(())
    }

    fn take_flags(&mut self, step: &mut Step, names: &[Option<String>]) -> Result<(), BuildError> {
        let instruction = step.instruction.clone();
        let flags = Flags::of(&instruction.rest);
        let keyword = instruction.keyword.as_str();
        if keyword == "run"
            && let Some(stage) = self.stages.last_mut()
        {
            stage.runs = true;
        }
        if keyword == "add" && is_remote(&instruction.rest, self.escape) {
            return Err(self.refused(&instruction, REMOTE));
        }
        // The flags of others may stay as they were written; mounts of the build's files are told apart later.
        let is_plain_run = keyword == "run" && flags.is_plain;
        if !(flags.may_name_an_image() || is_plain_run) {
            return Ok(());
        }
        if !flags.is_plain {
            return Err(
                self.refused(&instruction, "write flags that name an image or a stage without quotes and escapes")
            );
        }
        for (number, flag) in flags.flags.iter().enumerate() {
            if let Some(name) = named(keyword, flag)
                && let Some(origin) =
                    self.origin(name, names).map_err(|problem| self.refused(&instruction, &problem))?
            {
                if let (Origin::Stage(number), "run") = (&origin, keyword)
                    && names[*number].is_none()
                {
                    let problem = "a mount finds its stage by name: give the stage one (FROM ... AS name)";
                    return Err(self.refused(&instruction, problem));
                }
                step.origins.insert(number, origin);
            }
        }
        step.flags = flags.flags;
        step.rest = flags.rest.to_owned();
        Ok(())
    }

    /// What a flag means by a name; `None` for an empty one, which means the build's own files.
    fn origin(&self, name: &str, names: &[Option<String>]) -> Result<Option<Origin>, String> {
        if name.is_empty() {
            return Ok(None);
        }
        // The stage that this belongs to is none of those that it can copy from.
        let earlier = self.stages.len().saturating_sub(1);
        if let Ok(number) = name.parse::<usize>() {
            return match number {
                number if number < earlier => Ok(Some(Origin::Stage(number))),
                _ => Err(format!("there is no stage {number} before this one")),
            };
        }
        let lower = name.to_ascii_lowercase();
        let is_named = |stage: &Option<String>| stage.as_deref() == Some(&*lower);
        if let Some(number) = names[..earlier].iter().rposition(is_named) {
            return Ok(Some(Origin::Stage(number)));
        }
        if names.iter().any(is_named) {
            return Err(format!("stage '{name}' does not come before this one: move it up"));
        }
        if name == "scratch" {
            return Ok(Some(Origin::Scratch));
        }
        if name.contains('$') {
            return Err(format!(
                "variables are not replaced in '{name}': give the image a stage of its own (FROM {name} AS tools) and \
                 copy from that"
            ));
        }
        let image = name.parse().map_err(|error| format!("{error}, nor a stage of this file"))?;
        Ok(Some(Origin::Image(image)))
    }

    fn refused(&self, instruction: &Instruction, problem: &str) -> BuildError {
        BuildError::Refused(format!(
            "{}, line {}: {problem}; correct it, commit and push again.",
            self.path,
            instruction.lines.start + 1
        ))
    }
}

/// The origin that a flag of this instruction names.
fn named<'f>(keyword: &str, flag: &'f str) -> Option<&'f str> {
    match keyword {
        "copy" => flag.strip_prefix("--from="),
        "run" => {
            let fields = flag.strip_prefix("--mount=")?.split(',');
            let mut named = fields.filter_map(|field| field.split_once('='));
            named.find(|(key, _)| key.eq_ignore_ascii_case("from")).map(|(_, name)| name)
        }
        _ => None,
    }
}

const REMOTE: &str = "ADD fetches from an address outside of the build's own network, which is not allowed here: fetch it with \
                      RUN curl or RUN wget";

/// Whether an `ADD` may have the engine itself fetch something. A variable may become anything.
fn is_remote(rest: &str, escape: char) -> bool {
    const BEGINNINGS: [&str; 6] = ["http://", "https://", "git://", "git@", "ssh://", "github.com/"];
    let rest = Flags::of(rest).rest;
    let words = match serde_json::from_str::<Vec<String>>(rest) {
        Ok(words) => words,
        Err(_) => raw_words(rest, escape).iter().map(|word| unquoted(word, escape)).collect(),
    };
    let sources = words.split_last().map_or(&[][..], |(_, sources)| sources);
    sources.iter().any(|source| {
        let source = source.to_ascii_lowercase();
        let (literal, is_whole) = source.split_once('$').map_or((source.as_str(), true), |(before, _)| (before, false));
        BEGINNINGS.iter().any(|begin| literal.starts_with(begin) || (!is_whole && begin.starts_with(literal)))
    })
}

/// Whether an `ONBUILD` instruction may run: what it draws on is not replaced, so it must be a stage with a name.
///
/// # Errors
/// What is wrong, as the rest of a sentence.
pub(super) fn check_trigger(trigger: &str, escape: char, names: &[Option<String>]) -> Result<(), String> {
    let trigger = trigger.trim();
    let (keyword, rest) = trigger.split_once(char::is_whitespace).unwrap_or((trigger, ""));
    let (keyword, rest) = (keyword.to_ascii_lowercase(), rest.trim());
    let flags = Flags::of(rest);
    if keyword == "add" && is_remote(rest, escape) {
        return Err(format!("ONBUILD: {REMOTE}"));
    }
    if !["copy", "run"].contains(&keyword.as_str()) || !flags.may_name_an_image() {
        return Ok(());
    }
    let mut origins = flags.flags.iter().filter_map(|flag| named(&keyword, flag));
    let is_stage = |name: &str| names.iter().any(|stage| stage.as_deref() == Some(&*name.to_ascii_lowercase()));
    if flags.is_plain && origins.all(is_stage) {
        return Ok(());
    }
    Err(format!("ONBUILD cannot draw on another image: '{}'", trigger.escape_debug()))
}
