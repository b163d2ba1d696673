//! What may happen.

use super::check::{TOPICS, held};
use super::{About, CHANNELS, PREFIX, Swarm};
use kappadb::{EntryId, Feature, KvOp, RangeSet, Source, geojson};
use std::time::Duration;

fn feature(id: &str, inside: bool) -> Feature {
    let lon = if inside { 5 } else { 50 };
    let text = format!(
        r#"{{"type":"Feature","id":"{id}","properties":{{"amenity":"cafe"}},"geometry":{{"type":"Point","coordinates":[{lon},5]}}}}"#
    );
    geojson::from_text(&text).expect("feature")
}

impl Swarm {
    /// One step of the history.
    pub async fn advance(&mut self) {
        let who = self.random.index(self.members.len());
        if self.members[who].fails {
            return self.cut_power(who).await;
        }
        match self.random.below(100) {
            0..25 => self.put(who).await,
            25..32 => self.put_all(who).await,
            32..50 => self.post(who).await,
            50..68 => self.edit(who).await,
            68..74 => self.delete(who).await,
            74..78 => self.clear(who).await,
            78..84 => self.drop_or_allow(who).await,
            84..89 => self.restart(who).await,
            89..93 => self.stop_or_serve(who).await,
            93..96 => self.ask(who).await,
            _ => self.change_peers(who).await,
        }
        self.trouble().await;
        if self.random.chance(50) {
            tokio::time::sleep(Duration::from_millis(self.random.below(40))).await;
        }
    }

    fn key(&mut self, who: usize) -> String {
        let prefix = if self.random.chance(50) { PREFIX } else { "b/" };
        format!("{prefix}{who}/{}", self.random.below(4))
    }

    fn said(&mut self, who: usize, id: EntryId, about: About) {
        self.members[who].said.entries.insert(id, about);
    }

    fn valued(&mut self, who: usize, id: EntryId, key: &str, value: Option<String>) {
        self.said(who, id, About::Key { followed: key.starts_with(PREFIX) });
        self.members[who].said.values.insert(key.to_owned(), value);
    }

    async fn put(&mut self, who: usize) {
        let (key, value) = (self.key(who), self.random.draw().to_string());
        let put = self.members[who].database().kv().put(key.clone(), value.clone());
        let id = put.await.expect("put");
        self.note(who, format_args!("put {key} as {}", id.seq));
        self.valued(who, id, &key, Some(value));
    }

    async fn put_all(&mut self, who: usize) {
        let many = self.random.between(2, 40);
        let pairs: Vec<(String, String)> = (0..many)
            .map(|n| (self.key(who) + "+" + &n.to_string(), self.random.draw().to_string()))
            .collect();
        let ops = pairs.iter().map(|(key, value)| KvOp::put(key.clone(), value.clone())).collect();
        let ids = self.members[who].database().kv().batch(ops).await.expect("batch");
        self.note(who, format_args!("put {many} at once"));
        for (id, (key, value)) in ids.into_iter().zip(pairs) {
            self.valued(who, id, &key, Some(value));
        }
    }

    async fn post(&mut self, who: usize) {
        let channel = self.random.index(CHANNELS.len());
        let chat = self.members[who].database().chat();
        let id = chat.post(CHANNELS[channel], &self.random.draw().to_string()).await.expect("post");
        self.note(who, format_args!("post to {} as {}", CHANNELS[channel], id.seq));
        self.said(who, id, About::Channel { followed: channel == 0 });
        self.members[who].said.posts.insert(id, channel);
    }

    async fn edit(&mut self, who: usize) {
        let (id, inside) = (format!("f{who}-{}", self.random.below(4)), self.random.chance(60));
        let entry = self.members[who].database().map().put(feature(&id, inside)).await.expect("put");
        self.note(who, format_args!("feature {id} {} as {}", if inside { "in" } else { "out" }, entry.seq));
        let said = &mut self.members[who].said;
        said.features.insert(id.clone(), inside);
        // An entry says where its element ever was, as far as it replaces that.
        if inside {
            said.were_inside.insert(id.clone());
        }
        let followed = said.were_inside.contains(&id);
        self.said(who, entry, About::Map { followed });
    }

    async fn delete(&mut self, who: usize) {
        let database = self.members[who].database().clone();
        if self.random.chance(50) {
            let key = self.key(who);
            if let Some(id) = database.kv().delete(key.clone()).await.expect("delete") {
                self.note(who, format_args!("delete {key} as {}", id.seq));
                self.valued(who, id, &key, None);
            }
            return;
        }
        let posts: Vec<(EntryId, usize)> = self.members[who].said.posts.clone().into_iter().collect();
        if !posts.is_empty() {
            let (post, channel) = *self.random.pick(&posts);
            let id = database.chat().delete(post).await.expect("delete");
            self.note(who, format_args!("delete message {} as {}", post.seq, id.seq));
            self.said(who, id, About::Channel { followed: channel == 0 });
            self.members[who].said.posts.remove(&post);
            self.members[who].said.deleted.insert(post);
        }
    }

    /// Payloads of what somebody else wrote go.
    async fn clear(&mut self, who: usize) {
        let whose = self.random.index(self.members.len());
        let feed = self.members[whose].feed;
        let database = self.members[who].database();
        if whose != who && !held(database, feed).await.is_empty() {
            let some: RangeSet = (0..40).filter(|_| self.random.chance(50)).collect();
            self.members[who].database().clear(feed, some).await.expect("clear");
            self.note(who, format_args!("clear some of {whose}"));
            self.cleared = true;
        }
    }

    async fn drop_or_allow(&mut self, who: usize) {
        let whose = self.random.index(self.members.len());
        if whose == who {
            return;
        }
        let (feed, member) = (self.members[whose].feed, &mut self.members[who]);
        let drops = member.dropped.insert(whose);
        if drops {
            member.database().drop_feed(feed).await.expect("drop");
        } else {
            member.dropped.remove(&whose);
            member.database().allow_feed(feed).await.expect("allow");
        }
        if self.random.chance(30) {
            self.members[who].database().compact().await.expect("compact");
        }
        self.note(who, format_args!("{} {whose}", if drops { "drop" } else { "allow" }));
    }

    async fn restart(&mut self, who: usize) {
        self.members[who].close().await;
        self.members[who].open().await;
        self.note(who, "restart");
    }

    /// Who serves stops, and begins again on the same address.
    async fn stop_or_serve(&mut self, who: usize) {
        let member = &mut self.members[who];
        match member.server.take() {
            Some(server) => {
                server.stop().await;
                self.note(who, "stop serving");
            }
            None if member.serves => {
                member.serve().await;
                self.note(who, "serve again");
            }
            None => {}
        }
    }

    /// What says that it is complete has what those wrote who are known here, for they have answered.
    async fn ask(&mut self, who: usize) {
        let topic = *self.random.pick(&TOPICS);
        let member = &mut self.members[who];
        member.asked.insert(topic);
        let shown = topic.of(member.database(), Source::Peers).await;
        self.note(who, format_args!("ask for {topic:?}: {:?}", shown.completeness));
        if !shown.completeness.is_complete() || !shown.all_answered {
            return;
        }
        let member = &self.members[who];
        for writer in member.knows.iter().chain([&who]).filter(|writer| !member.dropped.contains(writer)) {
            let fault = shown.fault(topic, &self.members[*writer].said, self.cleared);
            assert!(fault.is_none(), "{who} says that it has all of {topic:?}, and of {writer}: {fault:?}");
        }
    }

    async fn change_peers(&mut self, who: usize) {
        let whom = self.random.index(self.members.len());
        let Some(ticket) = self.members[whom].ticket.clone().filter(|_| whom != who) else { return };
        let (peers, known) = (self.members[who].database().peers(), self.members[who].knows.clone());
        if known.contains(&whom) && known.len() > 1 {
            peers.remove(ticket.peer).await.expect("remove");
            self.members[who].knows.remove(&whom);
            self.note(who, format_args!("forget peer {whom}"));
        } else {
            peers.add(&ticket, None).await.expect("add");
            self.members[who].knows.insert(whom);
            self.note(who, format_args!("know peer {whom}"));
        }
    }
}
