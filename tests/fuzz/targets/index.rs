//! What the index keeps, which may be damaged, and what it is asked.

use super::text;
use mailtm::fs::node::Place;
use mailtm::index::search::{Field, Mailbox, Query, Search, Term};
use mailtm::message::words;
use mailtm::store::{Messages, Source};

/// Words that somebody searches for, against the database that has to understand them.
pub fn search_words(input: &[u8]) {
    thread_local! {
        static SEARCH: (Search, Mailbox) = {
            let search = Search::temporary(b"fuzz").unwrap();
            let mailbox = search.mailbox(b"m", "alice@example.com").unwrap();
            (search, mailbox)
        };
    }
    let words = words::of(&text(input));
    if words.is_empty() {
        return;
    }
    let fields = [Field::Any, Field::Sender, Field::Subject];
    let query = Query {
        terms: fields
            .map(|field| Term {
                field,
                words: words.clone(),
                begins: input.len().is_multiple_of(2),
            })
            .to_vec(),
        ..Query::default()
    };
    SEARCH.with(|(search, mailbox)| {
        let found = search.find(&query, std::slice::from_ref(mailbox), |_, _| Ok(true));
        assert!(found.is_ok(), "{words:?}: {found:?}");
        assert!(!search.is_damaged());
    });
}

/// A listing as the index keeps it; the index may be damaged.
pub fn listings(input: &[u8]) {
    let decode = |bytes: &[u8]| Messages::decode(&mut Source::new(bytes, bytes.len()));
    if let Some(messages) = decode(input) {
        for message in messages.iter() {
            let _ = (
                messages.identity(message),
                messages.keywords(message).count(),
            );
        }
        let mut encoded = Vec::new();
        messages.encode(&mut encoded).unwrap();
        let again = decode(&encoded).unwrap();
        assert!(messages.equals(&again));
    }
}

/// The key of a directory in the table of serial numbers: it means one thing, and is what that thing's key would be.
pub fn places(input: &[u8]) {
    if let Ok(place) = Place::decode(input) {
        let key = Place::encode(&place.mailbox, place.source.as_ref());
        assert_eq!(key, input, "{place:?}");
    }
}
