//! The words of a text, and what is searched for.

use kappadb_chat::fold;
use std::collections::BTreeSet;
use unicode_segmentation::UnicodeSegmentation;

/// Characters of a word that are looked at: longer ones that begin alike are taken for the same.
const MAX_WORD: usize = 64;

/// A text whose words compare as names do: without case, and in one of the forms that look alike.
#[derive(Debug)]
pub struct Folded(String);

impl Folded {
    pub fn new(text: &str) -> Folded {
        Folded(fold(text))
    }

    /// Its words, by Unicode's rules (UAX 29).
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.unicode_words().map(cut)
    }
}

fn cut(word: &str) -> &str {
    let end = word.char_indices().nth(MAX_WORD).map_or(word.len(), |(at, _)| at);
    word.get(..end).unwrap_or(word)
}

/// A word, or the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    pub word: String,
    pub prefix: bool,
}

impl Term {
    pub fn fits(&self, word: &str) -> bool {
        if self.prefix { word.starts_with(&self.word) } else { word == self.word }
    }
}

/// Words that a message must have, all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms(Vec<Term>);

impl Terms {
    /// Of a text as people write it: `word*` stands for all words that begin so. Case does not matter.
    pub fn parse(query: &str) -> Terms {
        let mut terms = BTreeSet::new();
        for part in query.split_whitespace() {
            let folded = Folded::new(part);
            let mut words = folded.words().peekable();
            while let Some(word) = words.next() {
                let prefix = words.peek().is_none() && part.ends_with('*');
                terms.insert(Term { word: word.to_owned(), prefix });
            }
        }
        Terms(terms.into_iter().collect())
    }

    /// True if there is no word in it: it finds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Term> {
        self.0.iter()
    }

    /// True if a text has all of them.
    pub fn found_in(&self, text: &str) -> bool {
        let mut missing: Vec<&Term> = self.0.iter().collect();
        if missing.is_empty() {
            return false;
        }
        for word in Folded::new(text).words() {
            missing.retain(|term| !term.fits(word));
            if missing.is_empty() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_unicode_without_case() {
        fn all(text: &str) -> Vec<String> {
            Folded::new(text).words().map(str::to_owned).collect()
        }
        assert_eq!(all("Hello, WORLD! it's 3.14 e-mail"), ["hello", "world", "it's", "3.14", "e", "mail"]);
        assert_eq!(all("Größe ΣΊΣΥΦΟΣ naïve"), ["grösse", "σίσυφοσ", "naïve"]);
        assert_eq!(all("日本"), ["日", "本"]);
        assert_eq!(all(&format!("{} {}", "x".repeat(64), "ყ".repeat(65))), ["x".repeat(64), "ყ".repeat(64)]);
        assert!(all("… — !?").is_empty());
    }

    #[test]
    fn a_word_is_found_however_it_is_written() {
        for (query, text) in [
            ("GRÖSSER", "größer"),
            ("größer", "GRO\u{308}SSER"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("CAFE\u{301}", "caf\u{e9}"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("ПРИВЕТ", "привет"),
            ("\u{1fb3}", "\u{3b1}\u{3b9}"),
            ("\u{ac00}", "\u{1100}\u{1161}"),
            ("\u{10a0}", "\u{2d00}"),
            ("gröss*", "Größenwahn"),
            ("日本", "日本語"),
        ] {
            assert!(Terms::parse(query).found_in(text), "{query} in {text}");
        }
        let long = "ყ".repeat(80);
        assert!(Terms::parse(&long).found_in(&format!("so {long}, then")));
        assert!(!Terms::parse("gros").found_in("größer"));
    }

    #[test]
    fn all_terms_must_be_there() {
        let found = |query, text| Terms::parse(query).found_in(text);
        assert!(found("tea HOT", "Hot, hot tea"));
        assert!(!found("tea cold", "hot tea"));
        assert!(found("te* ho*", "hot tea") && !found("te", "hot tea"));
        assert!(found("e-ma*", "an e-mail") && !found("e*-mail", "mail else"));
        assert!(!found("", "hot tea") && !found("*", "hot tea"));
    }
}
