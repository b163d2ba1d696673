//! Other replicas: listening and answering, the peers, and what is followed.

use super::Database;
use super::server::{Server, options};
use crate::error::{CreateError, FollowError, ServeError, WriteError};
use crate::folder::listen::Listen;
use crate::network::{Answer, Backend, Follow, Read, ask, settle_doubts};
use crate::node::{Following, Interest, Peers, Serving};
use kappadb_net::{Listener, Ticket, TicketError};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

impl Database {
    /// Listens on `address` (port 0 takes a free one) and answers every peer that has this database's access key. [`Database::listen`] has an
    /// address that stays the same.
    pub async fn serve(&self, address: SocketAddr) -> Result<Server, ServeError> {
        self.serve_as(Listen { address, ..self.listen() }).await
    }

    /// The same with what tickets are to say. Nothing of it is kept; [`Database::set_listen`] does that.
    pub async fn serve_as(&self, listen: Listen) -> Result<Server, ServeError> {
        let parts = &self.parts;
        // What is in doubt is settled before others take this replica's word; if it cannot be, reading does not suffer for it.
        if let Err(error) = settle_doubts(&parts.network).await {
            tracing::warn!(%error, "whether this folder may be written is not known");
        }
        let address = listen.address;
        let callers = self.shared.callers.clone();
        let credentials = parts.credentials();
        let mut options = options(&callers, parts.peers.list().iter().map(|peer| peer.key).collect());
        let (links, network) = (Arc::downgrade(&parts.links), Arc::downgrade(&parts.network));
        options.begun = Some(Arc::new(move |session| {
            if let Some(links) = links.upgrade() {
                links.called(&network, session);
            }
        }));
        let listener = Listener::bind_with(address, credentials, Backend::new(&parts.network), options)
            .await
            .map_err(|source| ServeError::Listen { address, source })?;
        let address = listener.address();
        let ticket = self.ticket_of(&Listen { address, ..listen })?;
        let addresses = ticket.addresses.clone();
        Ok(Server::new(
            ticket,
            listener,
            callers,
            &parts.pool,
            Serving::begin(parts, &self.shared.follows, addresses),
        ))
    }

    /// Where this replica listens when it serves: a port of this machine alone that was free when the folder was made, until
    /// [`Database::set_listen`].
    pub fn listen(&self) -> Listen {
        self.shared.listen.get()
    }

    /// Says where this replica listens from now on, for tickets and the next [`Database::serve`] with it. Durable when it returns.
    ///
    /// # Errors
    /// [`ServeError::Keep`] if it cannot be written down; [`ServeError::Ticket`] if no ticket can hold it.
    pub async fn set_listen(&self, listen: Listen) -> Result<(), ServeError> {
        self.ticket_of(&listen)?;
        let shared = self.shared.clone();
        self.run(move |_| shared.listen.set(listen)).await?.map_err(ServeError::Keep)
    }

    /// What lets another replica join by way of this one, once it serves; give it only to those who may read and write. It holds the access
    /// key, so it is a secret.
    ///
    /// # Errors
    /// If a ticket cannot hold what is advertised, or whom this replica trusts.
    pub fn ticket(&self) -> Result<Ticket, TicketError> {
        self.ticket_of(&self.listen())
    }

    fn ticket_of(&self, listen: &Listen) -> Result<Ticket, TicketError> {
        let parts = &self.parts;
        listen.ticket(&parts.access, parts.identity.public(), parts.trust.get())
    }
}

impl Database {
    /// The peers: who they are, how it stands with them, and what happens.
    pub fn peers(&self) -> Peers {
        Peers::of(&self.parts)
    }

    /// Learns of the ticket's peer, and whom it trusts: what [`Builder::join`](crate::Builder::join) does where there is a replica already. Durable when
    /// it returns.
    ///
    /// # Errors
    /// [`CreateError::OtherDatabase`], [`CreateError::Peer`] for a ticket of this replica, [`CreateError::Io`].
    pub async fn meet(&self, ticket: &Ticket) -> Result<(), CreateError> {
        if self.id() != ticket.database {
            return Err(CreateError::OtherDatabase { dir: self.parts.dir.clone(), database: self.id() });
        }
        self.peers().add(ticket, None).await?;
        let ticket = ticket.clone();
        let trusted = self.run(move |parts| {
            let trust = &parts.trust;
            let (known, mut trusted) = (trust.get(), trust.get());
            trusted.learn(&ticket);
            if trusted == known { Ok(()) } else { trust.set(trusted) }
        });
        let trusted = trusted.await.map_err(WriteError::from)?;
        trusted.map_err(|source| CreateError::Io { dir: self.parts.dir.clone(), source })
    }

    /// Follows something until what this returns is dropped: every peer that is or will be connected is asked for it live, so that it is here within
    /// moments after it was written anywhere. Nothing is waited for.
    pub fn follow(&self, interest: &Interest) -> Following {
        Following::begin(&self.parts, interest.questions(&self.parts))
    }

    /// The same for what comes from now on: what peers have already is not fetched. For watchers, who ask for what is there themselves.
    pub fn follow_from_now(&self, interest: &Interest) -> Following {
        let questions = interest.questions(&self.parts);
        Following::begin(&self.parts, questions.into_iter().map(Follow::news_only).collect())
    }

    /// Fetches, once, what peers have of something. From here alone it says how complete that is.
    ///
    /// # Errors
    /// If this replica fails; what peers did wrong is in the answer.
    pub fn replicate(&self, interest: &Interest) -> Read<Answer<Infallible>> {
        Read::new(&self.parts, ask::all(interest.questions(&self.parts)), |_| Ok(Answer::of([])))
    }

    /// What is followed whenever this replica serves, in the order in which it was added.
    pub fn follows(&self) -> Vec<Interest> {
        self.shared.follows.list()
    }

    /// Follows something whenever this replica serves, from now on. Durable when it returns. False if it did so before.
    ///
    /// # Errors
    /// If it could not be written down.
    pub async fn add_follow(&self, interest: Interest) -> Result<bool, FollowError> {
        let (parts, follows) = (self.parts.clone(), self.shared.follows.clone());
        self.run(move |_| {
            follows.change(&parts, |list| {
                let is_new = !list.contains(&interest);
                if is_new {
                    list.push(interest);
                }
                is_new
            })
        })
        .await?
    }

    /// Does not follow something any more. What came stays. Durable when it returns. False if it did not.
    ///
    /// # Errors
    /// If it could not be written down.
    pub async fn remove_follow(&self, interest: Interest) -> Result<bool, FollowError> {
        let (parts, follows) = (self.parts.clone(), self.shared.follows.clone());
        self.run(move |_| {
            follows.change(&parts, |list| {
                let before = list.len();
                list.retain(|followed| *followed != interest);
                list.len() < before
            })
        })
        .await?
    }
}
