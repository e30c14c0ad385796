//! As much of the shell as advice needs: where commands begin and end.

/// A command and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Its words, quotes taken away.
    pub words: Vec<String>,
    /// Whether a pipe leads out of it.
    pub piped: bool,
}

/// The commands of a script. Comments are left out; what stands in quotes or behind `$(` is part
/// of a word. Anything odd ends in fewer commands, never in an error.
pub(super) fn commands(script: &str) -> Vec<Command> {
    let mut out = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut chars = script.chars().peekable();
    let mut quote = None;
    let mut depth = 0_usize;
    let mut end = |words: &mut Vec<String>, word: &mut String, piped: bool| {
        if !word.is_empty() {
            words.push(std::mem::take(word));
        }
        if !words.is_empty() {
            out.push(Command { words: std::mem::take(words), piped });
        }
    };
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => word.extend(chars.next().filter(|c| *c != '\n')),
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => quote = Some(c),
            (None, '$') if chars.next_if_eq(&'(').is_some() => depth += 1,
            (None, '(') if depth > 0 => depth += 1,
            (None, ')') if depth > 0 => depth -= 1,
            (None, c) if depth > 0 => word.push(c),
            (None, '#') if word.is_empty() => while chars.next_if(|c| *c != '\n').is_some() {},
            (None, '|') => {
                let either = chars.next_if_eq(&'|').is_some();
                if !either {
                    chars.next_if_eq(&'&');
                }
                // `>|` writes a file.
                match word.ends_with('>') {
                    true => word.push('|'),
                    false => end(&mut words, &mut word, !either),
                }
            }
            // `2>&1` and `&>file` are no ends.
            (None, '&') if word.ends_with(['>', '<']) || chars.peek() == Some(&'>') => {
                word.push('&')
            }
            (None, ';' | '\n' | '&' | '(' | ')') => end(&mut words, &mut word, false),
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None, c) => word.push(c),
        }
    }
    end(&mut words, &mut word, false);
    out
}

impl Command {
    /// The program: the first word that is no assignment, keyword or prefix.
    pub(super) fn program(&self) -> Option<(&str, &[String])> {
        let skipped = |word: &str| {
            word.contains('=')
                || matches!(
                    word,
                    "sudo"
                        | "exec"
                        | "env"
                        | "then"
                        | "do"
                        | "else"
                        | "if"
                        | "while"
                        | "!"
                        | "{"
                        | "time"
                        | "nice"
                )
        };
        let at = self.words.iter().position(|word| !skipped(word))?;
        let (program, rest) = self.words.get(at..)?.split_first()?;
        Some((program.rsplit('/').next().unwrap_or(program), rest))
    }
}

/// Whether a script switches a shell option on: `set -e`, `set -euo pipefail`, `set -o pipefail`.
pub(super) fn sets(commands: &[Command], letter: char, name: &str) -> bool {
    commands.iter().any(|command| {
        command
            .program()
            .is_some_and(|(program, words)| program == "set" && options_hold(words, letter, name))
    })
}

/// Whether words of a command line hold a shell option, as a letter or by `-o name`.
pub(super) fn options_hold(words: &[String], letter: char, name: &str) -> bool {
    let short = |word: &String| {
        word.starts_with('-') && !word.starts_with("--") && word[1..].contains(letter)
    };
    words.iter().any(short) || words.iter().any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_fall_apart_into_commands() {
        let shown = |script: &str| {
            let one = |command: &Command| {
                let pipe = if command.piped { " |" } else { "" };
                format!("{}{pipe}", command.words.join(" "))
            };
            commands(script).iter().map(one).collect::<Vec<_>>()
        };
        assert_eq!(shown("a b && c | d || e; f &"), ["a b", "c |", "d", "e", "f"]);
        assert_eq!(shown("echo 'a | b' \"c | $d\" | e"), ["echo a | b c | $d |", "e"]);
        assert_eq!(shown("a # b | c\nd"), ["a", "d"]);
        assert_eq!(shown("x=$(a | b) c 2>&1 |& d >| f"), ["x=a | b c 2>&1 |", "d >| f"]);
        assert_eq!(shown("(a | b)"), ["a |", "b"]);
        assert_eq!(shown("if a \\\n b; then c; fi"), ["if a b", "then c", "fi"]);
        assert_eq!(shown("a 'unterminated"), ["a unterminated"]);
    }

    #[test]
    fn programs_and_options_are_found() {
        let program = |script: &str| {
            commands(script).first().and_then(|c| c.program().map(|(p, _)| p.to_owned()))
        };
        assert_eq!(
            program("DEBIAN_FRONTEND=x sudo /usr/bin/apt-get install").as_deref(),
            Some("apt-get")
        );
        assert_eq!(program("then apt install").as_deref(), Some("apt"));
        assert_eq!(program("a=b"), None);
        for (script, expected) in [
            ("set -e", true),
            ("set -eux; a", true),
            ("set -o errexit", true),
            ("set -x", false),
            ("reset -e", false),
            ("set -- -e", true),
        ] {
            assert_eq!(sets(&commands(script), 'e', "errexit"), expected, "{script}");
        }
    }
}
