//! What is said for any command, such as `--db`: of a batch it counts for each of its lines.

use super::Args;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Words by the name of what they say.
pub struct Globals(BTreeMap<String, Vec<OsString>>);

impl Globals {
    /// What a command line says that makes sense; nothing of it that only the environment does.
    pub fn of(words: &[OsString]) -> Globals {
        let command = Args::command();
        let matches = command.clone().subcommand_required(false).try_get_matches_from(words);
        let said = |id: &str| matches.as_ref().ok().filter(|matches| is_said(matches, id));
        let globals = command.get_arguments().filter(|arg| arg.is_global_set()).filter_map(|arg| {
            let (id, long) = (arg.get_id().as_str(), arg.get_long()?);
            let takes = arg.get_action().takes_values();
            said(id).map(|matches| (id.to_owned(), words_of(matches, id, long, takes)))
        });
        Globals(globals.collect())
    }

    /// A line with these before it, but for what it says itself. The first word is the program.
    pub fn before(&self, line: Vec<OsString>) -> Vec<OsString> {
        let Globals(own) = Globals::of(&line);
        let mut line = line.into_iter();
        let program = line.next();
        let others = self.0.iter().filter(|(id, _)| !own.contains_key(*id));
        let others = others.flat_map(|(_, words)| words.clone());
        program.into_iter().chain(others).chain(line).collect()
    }
}

fn is_said(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::CommandLine)
}

fn words_of(matches: &ArgMatches, id: &str, long: &str, takes_value: bool) -> Vec<OsString> {
    let flag = format!("--{long}");
    if !takes_value {
        return vec![flag.into()];
    }
    let with = |value: &OsStr| [OsStr::new(&flag), OsStr::new("="), value].into_iter().collect();
    matches.get_raw(id).into_iter().flatten().map(with).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn what_a_batch_was_given_stands_before_each_line_unless_the_line_says_it() {
        let given = Globals::of(&words("kappa --json --batch --db a --patience 3"));
        for (line, whole) in [
            ("kappa status", "kappa --db=a --json --patience=3 status"),
            ("kappa --db b status", "kappa --json --patience=3 --db b status"),
            ("kappa kv get k --db b", "kappa --json --patience=3 kv get k --db b"),
            ("kappa --json status", "kappa --db=a --patience=3 --json status"),
            ("kappa fly", "kappa --db=a --json --patience=3 fly"),
        ] {
            assert_eq!(given.before(words(line)), words(whole), "{line}");
        }
    }
}
