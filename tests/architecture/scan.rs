//! Reads a source file as tokens and finds the paths in it.

/// What a source file refers to, each with its line.
#[derive(Debug, Default)]
pub struct Scan {
    /// Paths within this crate, from its root: the last word may name a module or what is in one.
    pub edges: Vec<(usize, Vec<String>)>,
    /// First words of other paths: crates, and whatever else opens a path.
    pub crates: Vec<(usize, String)>,
    /// Whole paths of two words and more.
    pub calls: Vec<(usize, Vec<String>)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Scans the file that holds the module at `module`.
pub fn scan(module: &[String], text: &str) -> Scan {
    let tokens = tokens(text);
    let mut found = Scan::default();
    // One entry per open brace: the inline module that it belongs to, which deepens what `super` means.
    let mut braces: Vec<Option<String>> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => {
                let is_module = index >= 2 && tokens[index - 2].text == "mod";
                braces.push(is_module.then(|| tokens[index - 1].text.clone()));
            }
            "}" => {
                braces.pop();
            }
            _ if opens_path(&tokens, index) => {
                let here: Vec<String> = module.iter().chain(braces.iter().flatten()).cloned().collect();
                read_path(&tokens, index, &here, &mut found);
            }
            _ => {}
        }
    }
    found
}

fn opens_path(tokens: &[Token], index: usize) -> bool {
    let before = index.checked_sub(1).map(|before| tokens[before].text.as_str());
    tokens[index].is_word() && !matches!(before, Some("::" | "."))
}

/// Reads the path that begins at `index`, in the module `here`.
fn read_path(tokens: &[Token], index: usize, here: &[String], found: &mut Scan) {
    let line = tokens[index].line;
    let (mut at, mut climbed) = (index, 0);
    while text(tokens, at) == "super" && text(tokens, at + 1) == "::" {
        (at, climbed) = (at + 2, climbed + 1);
    }
    if text(tokens, at) == "crate" && text(tokens, at + 1) == "::" {
        (at, climbed) = (at + 2, here.len().max(1));
    }
    if climbed > 0 {
        let root = &here[..here.len().saturating_sub(climbed)];
        let (paths, _) = branches(tokens, at);
        found.edges.extend(paths.into_iter().map(|path| (line, [root, &path].concat())));
        return;
    }
    let mut words = vec![tokens[at].text.clone()];
    while text(tokens, at + 1) == "::" && tokens.get(at + 2).is_some_and(Token::is_word) {
        at += 2;
        words.push(tokens[at].text.clone());
    }
    let is_imported = index > 0 && matches!(tokens[index - 1].text.as_str(), "use" | "extern");
    if words.len() > 1 || is_imported || text(tokens, at + 1) == "::" {
        found.crates.push((line, words[0].clone()));
    }
    if words.len() > 1 {
        found.calls.push((line, words));
    }
}

/// The paths that begin at `at`, and where they end: `a::{b::c, d}` yields `a::b::c` and `a::d`.
fn branches(tokens: &[Token], at: usize) -> (Vec<Vec<String>>, usize) {
    if text(tokens, at) == "{" {
        let (mut paths, mut next) = (Vec::new(), at + 1);
        while next < tokens.len() && text(tokens, next) != "}" {
            let (branch, end) = branches(tokens, next);
            paths.extend(branch);
            next = end.max(next + 1);
        }
        return (paths, next + 1);
    }
    let Some(word) = tokens.get(at).filter(|token| token.is_word()) else { return (Vec::new(), at) };
    if text(tokens, at + 1) != "::" {
        return (vec![vec![word.text.clone()]], at + 1);
    }
    let (mut paths, end) = branches(tokens, at + 2);
    if paths.is_empty() {
        paths.push(Vec::new());
    }
    (paths.into_iter().map(|path| [vec![word.text.clone()], path].concat()).collect(), end)
}

fn text(tokens: &[Token], index: usize) -> &str {
    tokens.get(index).map_or("", |token| token.text.as_str())
}

/// Words, `::` and single characters; without comments and literals.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut at, mut line, mut found) = (0, 1, Vec::new());
    while at < chars.len() {
        let end = match chars[at] {
            c if c.is_whitespace() => at + 1,
            '/' if chars.get(at + 1) == Some(&'/') => seek(&chars, at, |rest| rest.first() == Some(&'\n')),
            '/' if chars.get(at + 1) == Some(&'*') => end_of_comment(&chars, at),
            '"' => end_of_string(&chars, at + 1),
            '\'' => end_of_quote(&chars, at),
            c if c.is_alphanumeric() || c == '_' => {
                let end = seek(&chars, at, |rest| rest.first().is_none_or(|c| !c.is_alphanumeric() && *c != '_'));
                let word: String = chars[at..end].iter().collect();
                match end_of_raw(&chars, &word, end) {
                    Some(end) => end,
                    None => {
                        found.push(Token { line, text: word });
                        end
                    }
                }
            }
            ':' if chars.get(at + 1) == Some(&':') => {
                found.push(Token { line, text: "::".to_owned() });
                at + 2
            }
            c => {
                found.push(Token { line, text: c.to_string() });
                at + 1
            }
        };
        line += chars[at..end.min(chars.len())].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    found
}

/// The first position from `at` on whose rest is `wanted`, or the end.
fn seek(chars: &[char], at: usize, wanted: impl Fn(&[char]) -> bool) -> usize {
    (at..chars.len()).find(|position| wanted(&chars[*position..])).unwrap_or(chars.len())
}

fn end_of_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match chars[at..] {
            ['/', '*', ..] => (at, depth) = (at + 2, depth + 1),
            ['*', '/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn end_of_string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// A character literal, or the tick of a lifetime.
fn end_of_quote(chars: &[char], at: usize) -> usize {
    match chars[at + 1..] {
        ['\\', ..] => seek(chars, at + 3, |rest| rest.first() == Some(&'\'')) + 1,
        [_, '\'', ..] => at + 3,
        _ => at + 1,
    }
}

/// The end of a raw or byte string whose prefix `word` ends at `at`; `None` when it is no such prefix.
fn end_of_raw(chars: &[char], word: &str, at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    let opens = chars.get(at + hashes) == Some(&'"');
    match word {
        "r" | "br" | "cr" if opens => {
            let is_end = |rest: &[char]| {
                rest[0] == '"' && rest[1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
            };
            Some(seek(chars, at + hashes + 1, is_end) + 1 + hashes)
        }
        "b" | "c" if opens && hashes == 0 => Some(end_of_string(chars, at + 1)),
        _ => None,
    }
}
