//! An import of messages that breaks off says how far it came, and goes on there.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may fail loudly")]

use kappadb::{ChatError, ChatImportReport, ChatLeftOut, Database, FeedKey, ReadOptions};
use std::collections::BTreeSet;
use std::io::{self, BufReader, Cursor, Read};

/// Lines of three authors in two channels; line 5 is damaged.
fn lines(count: usize) -> String {
    let line = |n: usize| match n {
        5 => "{\"author\":\n".to_owned(),
        _ => format!(
            "{{\"author\":\"{}\",\"channel\":\"{}\",\"timestamp\":{},\"text\":\"text {n}\"}}\n",
            ["anna", "bob", "cleo"][n % 3],
            ["tea", "coffee"][n % 2],
            1_000 + n
        ),
    };
    (1..=count).map(line).collect()
}

/// An input that breaks after so many bytes.
struct Breaks(Cursor<Vec<u8>>);

impl Read for Breaks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::Error::other("the cable was pulled")),
            read => Ok(read),
        }
    }
}

async fn texts(database: &Database) -> Vec<String> {
    let mut texts = Vec::new();
    for channel in ["tea", "coffee"] {
        let page = database.chat().read(channel, &ReadOptions::default()).await;
        let messages = page.map_or_else(|_| Vec::new(), |page| page.messages);
        texts.extend(messages.iter().map(|message| message.said.text().unwrap().to_owned()));
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_messages_that_breaks_off_says_how_far_it_came_and_goes_on_there() {
    let (dir, all) = (tempfile::tempdir().unwrap(), 4_000);
    let builder = || Database::builder(dir.path().join("db")).state(dir.path().join("state"));
    let database = builder().create().await.unwrap();
    let text = lines(all);
    // In the middle of a line, after several batches.
    let broken = text.find("text 3500").unwrap();
    let input = Breaks(Cursor::new(text.as_bytes()[..broken].to_vec()));
    let failed = database.chat().import(BufReader::new(input), |_, _| ()).await.unwrap_err();
    let ChatError::BrokenOff { lines, source } = &failed else { panic!("{failed:?}") };
    assert_eq!(*lines, 3499, "what came whole was kept");
    assert!(
        matches!(&**source, ChatError::Import(error) if error.to_string().contains("cable")),
        "{source:?}"
    );
    assert!(failed.to_string().contains("the first 3499 lines are here"), "{failed}");
    assert_eq!(texts(&database).await.len(), 3498, "all but the damaged one");
    // The same input again, from its beginning, also by another process.
    database.close().await.unwrap();
    let database = builder().open().await.unwrap();
    let mut damaged = Vec::new();
    let (tell, told) = std::sync::mpsc::channel();
    let report = database
        .chat()
        .import(Cursor::new(text.clone()), move |line, _| tell.send(line).unwrap())
        .await
        .unwrap();
    damaged.extend(told.iter());
    assert_eq!(damaged, [5]);
    assert_eq!((report.known, report.imported, report.damaged, report.authors), (3498, 501, 1, 3));
    let found = texts(&database).await;
    assert_eq!(found.len(), all - 1);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), all - 1, "none stands twice");
    // And once more there is nothing to do.
    let report = database.chat().import(Cursor::new(text), |_, _| ()).await.unwrap();
    assert_eq!((report.known, report.imported), (3999, 0));
}

async fn export(database: &Database) -> String {
    let mut export = database.chat().export().await.unwrap();
    let mut lines = String::new();
    while let Some(some) = export.next().await.unwrap() {
        lines.extend(some.iter().map(|line| serde_json::to_string(line).unwrap() + "\n"));
    }
    assert_eq!(export.left_out(), ChatLeftOut::default());
    lines
}

async fn import(database: &Database, lines: &str) -> ChatImportReport {
    let failed = |line: u64, bad: &kappadb::BadLine| panic!("line {line}: {bad}");
    database.chat().import(Cursor::new(lines.to_owned()), failed).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_export_that_is_imported_after_a_newer_one_brings_back_nothing_that_was_deleted_between() {
    let dir = tempfile::tempdir().unwrap();
    let from = Database::builder(dir.path().join("from")).create().await.unwrap();
    let chat = from.chat();
    let gone = chat.post("tea", "a slip").await.unwrap();
    chat.edit(gone, "a bad slip", None).await.unwrap();
    chat.post("tea", "kept").await.unwrap();
    chat.set_topic("tea", "first").await.unwrap();
    let topic = chat.set_topic("tea", "second").await.unwrap();
    let older = export(&from).await;
    chat.delete(gone).await.unwrap();
    chat.delete(topic).await.unwrap();
    let newer = export(&from).await;
    assert!(older.contains("slip") && !newer.contains("slip"));
    let to = Database::builder(dir.path().join("to")).create().await.unwrap();
    import(&to, &newer).await;
    let (before, all) = (texts(&to).await, export(&to).await);
    for again in [&older, &newer, &older] {
        assert_eq!(import(&to, again).await.imported, 0);
        assert_eq!((texts(&to).await, export(&to).await), (before.clone(), all.clone()));
    }
    assert_eq!(before, ["kept"]);
    assert_eq!(to.chat().topic("tea").await.unwrap().one().unwrap().text, "first");
    assert_eq!(to.verify().await.unwrap(), [""; 0]);
    // Who deletes what somebody else wrote changes nothing.
    let other = Database::builder(dir.path().join("other")).create().await.unwrap();
    let thief = FeedKey([7; 32]);
    let forged = format!(
        r#"{{"kind":"delete","id":"{thief}/9","author":"{thief}","timestamp":1795399821000,"target":"{gone}"}}"#
    );
    let report = other.chat().import(Cursor::new(format!("{forged}\n")), |_, _| ()).await.unwrap();
    assert_eq!((report.damaged, report.imported), (1, 0));
    let report = import(&other, &older).await;
    assert!(report.imported > 4);
    assert_eq!(texts(&other).await, ["kept", "a bad slip"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_edits_in_private_come_back_with_an_export() {
    let dir = tempfile::tempdir().unwrap();
    let from = Database::builder(dir.path().join("from")).create().await.unwrap();
    let bert = from.new_writer("bert").await.unwrap();
    let anna = from.writer().await.unwrap();
    let question = from.chat().send_private(bert, "cofee?").await.unwrap();
    from.chat().edit(question, "coffee?", None).await.unwrap();
    // Imported authors' feeds are written here: whoever imports them reads what they wrote.
    let by_bert = from.with_writer("bert").await.unwrap();
    by_bert.chat().reply_private(anna, "yes", question).await.unwrap();
    let lines = export(&from).await;
    let to = Database::builder(dir.path().join("to")).create().await.unwrap();
    assert_eq!(import(&to, &lines).await.imported, 3);
    assert_eq!(import(&to, &lines).await.imported, 0);
    let page = to.chat().private(None, &ReadOptions::default()).await.unwrap();
    let [answer, asked] = &page.messages[..] else { panic!("{page:?}") };
    assert_eq!((answer.said.text(), asked.said.text()), (Some("yes"), Some("coffee?")));
    assert_eq!((answer.reply_to, asked.edited.is_some()), (Some(asked.id), true));
    let history = to.chat().history(asked.id).await.unwrap().items;
    assert_eq!(
        history.iter().filter_map(|edition| edition.said.text()).collect::<Vec<_>>(),
        ["cofee?", "coffee?"]
    );
    assert_eq!(to.verify().await.unwrap(), [""; 0]);
}
