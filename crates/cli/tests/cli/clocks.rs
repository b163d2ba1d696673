//! Who writes by a clock that is far off is told.

use crate::common::{Db, Server};
use kappadb::{Clock, Database, Timestamp};
use std::sync::mpsc;
use std::time::{SystemTime, UNIX_EPOCH};

const HOUR: i64 = 3_600_000;

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A clock that shows another time than this machine's.
struct Off(i64);

impl Clock for Off {
    fn now(&self) -> Timestamp {
        Timestamp(now() + self.0)
    }
}

/// What the program says on stderr when it posts.
fn told(db: &Db) -> String {
    let output = db.run(&["chat", "post", "tea", "hello"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn who_posts_is_told_that_the_clocks_of_peers_show_another_time() {
    let dir = tempfile::tempdir().unwrap();
    let (ready, ticket) = mpsc::channel();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let path = dir.path().join("hub");
    let hub = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let hub = Database::builder(path).clock(Off(-3 * HOUR)).create().await.unwrap();
            let server = hub.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
            ready.send(server.ticket().to_string()).unwrap();
            ended.await.unwrap();
            server.stop().await;
        });
    });
    let db = Db::join(&ticket.recv().unwrap());
    let told = told(&db);
    assert!(
        told.contains("this machine's clock is ") && told.contains(" ahead of that of the peer"),
        "{told}"
    );
    assert!(told.contains("3 h 0 min") || told.contains("2 h 59 min"), "{told}");
    end.send(()).unwrap();
    hub.join().unwrap();
}

#[test]
fn who_posts_and_has_no_peer_is_told_that_others_date_their_messages_later() {
    let db = Db::init();
    let later = now() + 2 * HOUR;
    let line = |who: &str| {
        serde_json::json!({ "author": who, "channel": "tea", "timestamp": later, "text": "hi" }).to_string()
            + "\n"
    };
    db.ok(&["chat", "join", "tea"]);
    db.feed(&["chat", "import", "-"], &line("anna"));
    assert_eq!(told(&db), "", "one whose clock is ahead says nothing of mine");
    db.feed(&["chat", "import", "-"], &line("bert"));
    let told = told(&db);
    assert!(told.contains(" behind what 2 other writers dated their messages by"), "{told}");
    // Where a peer says what time it is, that counts.
    let server = Server::start(&db);
    let reader = Db::join(&server.ticket);
    assert_eq!(self::told(&reader), "");
}
