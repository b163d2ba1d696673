//! Live questions over connections.

use crate::common::{credentials, key};
use crate::storage::Storage;
use kappadb_core::FeedKey;
use kappadb_net::{Allowance, Backend, Listener, connect_any};
use kappadb_query::Selector;
use kappadb_sync::{Ask, Command, Reply, Since};
use std::any::Any;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Writes down what it was told, in order, and does all work at once.
struct Orderly {
    storage: Storage,
    told: Mutex<Vec<&'static str>>,
    stands: Arc<AtomicBool>,
}

impl Backend for Orderly {
    fn run(&self, command: Command) -> Reply {
        if let Command::Answer { .. } = command {
            let stands = self.stands.load(Ordering::SeqCst);
            self.told.lock().unwrap().push(if stands { "looked up while it stands" } else { "looked up" });
        }
        self.storage.run(command)
    }

    fn start(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn stand(
        &self,
        _: FeedKey,
        _: &str,
        _: &Selector,
        news: Box<dyn Fn() + Send + Sync>,
    ) -> Box<dyn Any + Send> {
        self.stands.store(true, Ordering::SeqCst);
        Box::new(news)
    }
}

#[tokio::test]
async fn what_comes_while_a_live_question_is_looked_up_first_is_not_overlooked() {
    let there = Orderly { storage: Storage::new(vec![]), told: Mutex::default(), stands: Arc::default() };
    let there = Arc::new(there);
    let (access, identity) = (credentials(2).access, credentials(2).identity);
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), access, identity, there.clone()).await.unwrap();
    let (addresses, here) = ([listener.address().to_string()], Arc::new(Storage::new(vec![])));
    let session =
        connect_any(&addresses, &credentials(1), key(2), here, &Allowance::default()).await.unwrap();
    let ask = Ask {
        view: "empty".to_owned(),
        selector: Selector::Everything,
        inline: true,
        direct: false,
        have: vec![],
        named: vec![],
        forks: vec![],
        without: BTreeSet::new(),
        live: Some(Since::Beginning),
        forget: false,
    };
    session.ask(ask).await.unwrap();
    assert_eq!(*there.told.lock().unwrap(), ["looked up while it stands"]);
}
