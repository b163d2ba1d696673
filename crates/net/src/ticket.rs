//! A ticket: one string that lets a new peer join a database. It holds the access key, so it is a secret.
//!
//! `kappa1` and base32 (lower case, unpadded) of `version u8 (1) | database 32 | epoch u32 | access key 32 |
//! peer key 32 | count u8 | (len u8, address)* | count u8 | admin key* | count u8 | mod key* | checksum 4`, the checksum
//! being the first bytes of H(`"kappadb ticket v1"` | all before). It tells a damaged ticket from a foreign text; it proves nothing.

use crate::{Access, AccessKey};
use data_encoding::BASE32_NOPAD;
use kappadb_core::limits::{MAX_ADDRESS, MAX_ADDRESSES, MAX_TRUSTED};
use kappadb_core::{DatabaseId, FeedKey, blake2b256};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

const PREFIX: &str = "kappa1";
const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"kappadb ticket v1";
const CHECKSUM: usize = 4;

/// Bytes of a ticket's text: all of the greatest ticket.
const MAX_TEXT: usize = PREFIX.len() + MAX_BYTES.div_ceil(5) * 8;
const MAX_BYTES: usize =
    1 + (32 + 4 + 32 + 32) + (1 + MAX_ADDRESSES * (1 + MAX_ADDRESS)) + 2 * (1 + MAX_TRUSTED * 32) + CHECKSUM;

/// How to join a database: its id, its access key, and a peer with where to find it. Made with [`Ticket::new`],
/// written and read as one string. Its `Debug` hides the key; its `Display` is the secret string itself.
///
/// ```
/// use kappadb_net::{Ticket, TicketError};
///
/// let damaged: Result<Ticket, _> = "kappa1aeaqcaibaeaqcaibaeaq".parse();
/// assert_eq!(damaged, Err(TicketError::Checksum));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ticket {
    /// The database.
    pub database: DatabaseId,
    /// The epoch of the access key.
    pub epoch: u32,
    /// The key that opens the database to members.
    pub access_key: AccessKey,
    /// The peer that made the ticket; a dialer accepts no other under these addresses.
    pub peer: FeedKey,
    /// Where it listens, `host:port` each, in order of preference; at most [`MAX_ADDRESSES`].
    pub addresses: Vec<String>,
    /// Feeds whose moderation the new peer is to trust: theirs who may name others. At most [`MAX_TRUSTED`], ascending.
    pub admins: Vec<FeedKey>,
    /// The same for those who may hide, mute and block alone. At most [`MAX_TRUSTED`], ascending.
    pub mods: Vec<FeedKey>,
}

/// Why a text is not a ticket, or no ticket can be made of what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// Some other text.
    #[error("this is not a ticket: a ticket starts with {PREFIX}")]
    Prefix,
    /// A ticket's text with a character that tickets do not have.
    #[error("the ticket is damaged: character {position} does not belong there")]
    Base32 {
        /// Counted from 1.
        position: usize,
    },
    /// Some characters are missing or were changed.
    #[error("the ticket is damaged or incomplete: its checksum does not fit; copy it again, whole")]
    Checksum,
    /// Of a newer release.
    #[error("the ticket has version {0}; this release reads version {VERSION}")]
    Version(u8),
    /// Its checksum fits but its parts do not fill it: made by something that does not know the format.
    #[error("the ticket is malformed: {0}")]
    Length(&'static str),
    /// More text than any ticket has.
    #[error("the ticket has {0} characters; no ticket has more than {MAX_TEXT}")]
    TooLong(usize),
    /// An address that a ticket cannot hold.
    #[error("{0:?} is not an address for a ticket: write host:port, at most {MAX_ADDRESS} bytes")]
    Address(String),
    /// Too many addresses.
    #[error("{0} addresses are more than the {MAX_ADDRESSES} that a ticket holds")]
    Addresses(usize),
    /// Too many admins or mods.
    #[error("{0} admins or mods are more than the {MAX_TRUSTED} of each that a ticket holds")]
    Trusted(usize),
}

impl Ticket {
    /// A ticket to `access`'s database by way of `peer`, which listens at `addresses` (`host:port`).
    pub fn new(access: &Access, peer: FeedKey, addresses: Vec<String>) -> Result<Ticket, TicketError> {
        if addresses.len() > MAX_ADDRESSES {
            return Err(TicketError::Addresses(addresses.len()));
        }
        if let Some(bad) = addresses.iter().find(|address| !is_address(address)) {
            return Err(TicketError::Address(bad.clone()));
        }
        let Access { database, epoch, key } = access.clone();
        let (admins, mods) = (Vec::new(), Vec::new());
        Ok(Ticket { database, epoch, access_key: key, peer, addresses, admins, mods })
    }

    /// The same with feeds whose moderation the new peer is to trust.
    pub fn trusting(
        mut self,
        mut admins: Vec<FeedKey>,
        mut mods: Vec<FeedKey>,
    ) -> Result<Ticket, TicketError> {
        for keys in [&mut admins, &mut mods] {
            keys.sort_unstable();
            keys.dedup();
            if keys.len() > MAX_TRUSTED {
                return Err(TicketError::Trusted(keys.len()));
            }
        }
        (self.admins, self.mods) = (admins, mods);
        Ok(self)
    }

    /// What opens the database.
    pub fn access(&self) -> Access {
        Access { database: self.database, epoch: self.epoch, key: self.access_key.clone() }
    }

    /// Everything before the checksum. Addresses that a ticket cannot hold (put there after [`Ticket::new`]) are
    /// left out.
    fn body(&self) -> Zeroizing<Vec<u8>> {
        let addresses: Vec<&String> =
            self.addresses.iter().filter(|a| is_address(a)).take(MAX_ADDRESSES).collect();
        let mut out = Zeroizing::new(Vec::with_capacity(MAX_TEXT));
        out.push(VERSION);
        out.extend_from_slice(&self.database.0);
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(self.access_key.expose());
        out.extend_from_slice(&self.peer.0);
        out.push(u8::try_from(addresses.len()).unwrap_or_default());
        for address in addresses {
            out.push(u8::try_from(address.len()).unwrap_or_default());
            out.extend_from_slice(address.as_bytes());
        }
        for keys in [&self.admins, &self.mods] {
            let keys = keys.get(..MAX_TRUSTED).unwrap_or(keys);
            out.push(u8::try_from(keys.len()).unwrap_or_default());
            keys.iter().for_each(|key| out.extend_from_slice(&key.0));
        }
        out
    }
}

/// True for `host:port` in printable ASCII. Whether it can be reached is found out by dialing.
fn is_address(text: &str) -> bool {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    text.len() <= MAX_ADDRESS && text.bytes().all(|b| b.is_ascii_graphic()) && matches!(port, Some(Ok(_)))
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let [a, b, c, d, ..] = blake2b256(&[DOMAIN, body]).0;
    [a, b, c, d]
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.body();
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        write!(f, "{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Reads a ticket; white space around it is ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let digits = text.strip_prefix(PREFIX).ok_or(TicketError::Prefix)?;
        if text.len() > MAX_TEXT {
            return Err(TicketError::TooLong(text.len()));
        }
        let bytes = decode_base32(digits)?;
        let (body, sum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(TicketError::Checksum)?;
        if checksum(body) != *sum {
            return Err(TicketError::Checksum);
        }
        decode_body(body)
    }
}

/// Lower case only, so that a ticket has one text.
fn decode_base32(digits: &str) -> Result<Zeroizing<Vec<u8>>, TicketError> {
    let foreign = digits.char_indices().find(|(_, c)| !matches!(c, 'a'..='z' | '2'..='7'));
    if let Some((at, _)) = foreign {
        return Err(TicketError::Base32 { position: PREFIX.len() + at + 1 });
    }
    // What is left to fail is the number of digits or their last bits: something was cut off.
    BASE32_NOPAD
        .decode(digits.to_ascii_uppercase().as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| TicketError::Checksum)
}

fn decode_body(body: &[u8]) -> Result<Ticket, TicketError> {
    let mut rest = Fields(body);
    let [version] = rest.take::<1>()?;
    if version != VERSION {
        return Err(TicketError::Version(version));
    }
    let database = DatabaseId(rest.take()?);
    let epoch = u32::from_le_bytes(rest.take()?);
    let key = AccessKey::new(rest.take()?);
    let peer = FeedKey(rest.take()?);
    let [count] = rest.take::<1>()?;
    let addresses = (0..count).map(|_| rest.address()).collect::<Result<Vec<_>, _>>()?;
    let (admins, mods) = (rest.keys()?, rest.keys()?);
    if !rest.0.is_empty() {
        return Err(TicketError::Length("bytes are left over after the last key"));
    }
    Ticket::new(&Access { database, epoch, key }, peer, addresses)?.trusting(admins, mods)
}

/// What is left to be read.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], TicketError> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(TicketError::Length("it ends early"))?;
        self.0 = rest;
        Ok(*field)
    }

    fn address(&mut self) -> Result<String, TicketError> {
        let [len] = self.take::<1>()?;
        let (text, rest) =
            self.0.split_at_checked(usize::from(len)).ok_or(TicketError::Length("it ends early"))?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| TicketError::Length("an address is not text"))
    }

    fn keys(&mut self) -> Result<Vec<FeedKey>, TicketError> {
        let [count] = self.take::<1>()?;
        let keys = (0..count).map(|_| self.take().map(FeedKey)).collect::<Result<Vec<_>, _>>()?;
        match keys.is_sorted_by(|a, b| a < b) {
            true => Ok(keys),
            false => Err(TicketError::Length("its keys do not ascend")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticket(addresses: &[&str]) -> Ticket {
        let access = Access { database: DatabaseId([1; 32]), epoch: 7, key: AccessKey::new([2; 32]) };
        Ticket::new(&access, FeedKey([3; 32]), addresses.iter().map(|&a| a.to_owned()).collect()).unwrap()
    }

    /// Text of a body that carries a fitting checksum, whatever it holds.
    fn sealed(body: &[u8]) -> String {
        let all = [body, &checksum(body)].concat();
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&all).to_ascii_lowercase())
    }

    fn parse(text: &str) -> Result<Ticket, TicketError> {
        text.parse()
    }

    fn trusted() -> impl Strategy<Value = Vec<FeedKey>> {
        prop::collection::vec(any::<[u8; 32]>().prop_map(FeedKey), 0..=MAX_TRUSTED)
    }

    #[test]
    fn keys_ascend_and_are_few() {
        let keys = |count: u8| (0..count).rev().map(|n| FeedKey([n; 32])).collect::<Vec<_>>();
        let trusting = ticket(&[]).trusting(keys(3), keys(2)).unwrap();
        assert_eq!(parse(&trusting.to_string()).as_ref(), Ok(&trusting));
        assert_eq!(trusting.mods, [FeedKey([0; 32]), FeedKey([1; 32])]);
        assert_eq!(ticket(&[]).trusting(keys(17), keys(0)), Err(TicketError::Trusted(17)));
        let mut body = ticket(&[]).body().to_vec();
        body.truncate(body.len() - 2);
        body.extend([&[2][..], &[7; 32], &[6; 32], &[0]].concat());
        assert!(matches!(parse(&sealed(&body)), Err(TicketError::Length("its keys do not ascend"))));
    }

    #[test]
    fn the_written_form_is_fixed() {
        // Made from the description in design/formats.md with Python's hashlib and base64.
        let expected = concat!(
            "kappa1aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcbyaaaaaeaqcaibaeaqcaibaeaqcaiba",
            "eaqcaibaeaqcaibaeaqcaibaeaqdambqgaydambqgaydambqgaydambqgaydambqgaydambqgaydamba4mjsg4xdal",
            "rqfyytunbqgayauwz2hiyv2orugaydaaieaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqaa35p6",
            "p4",
        );
        let ticket =
            ticket(&["127.0.0.1:4000", "[::1]:4000"]).trusting(vec![FeedKey([4; 32])], vec![]).unwrap();
        assert_eq!(ticket.to_string(), expected);
        assert_eq!(parse(&format!(" {expected}\n")), Ok(ticket));
    }

    #[test]
    fn each_damage_is_named() {
        let text = ticket(&["host.example:1"]).to_string();
        assert_eq!(parse("hello"), Err(TicketError::Prefix));
        assert_eq!(parse(""), Err(TicketError::Prefix));
        assert_eq!(parse("kappa1"), Err(TicketError::Checksum));
        assert_eq!(parse(&text.replacen("aeaqc", "aeaq1", 1)), Err(TicketError::Base32 { position: 11 }));
        assert_eq!(parse(&text.replacen("aeaqc", "aeaqd", 1)), Err(TicketError::Checksum));
        let body = ticket(&[]).body().to_vec();
        let newer = [&[2], body.get(1..).unwrap()].concat();
        assert_eq!(parse(&sealed(&newer)), Err(TicketError::Version(2)));
        assert!(matches!(parse(&sealed(&[&body[..], &[0]].concat())), Err(TicketError::Length(_))));
        assert!(matches!(parse(&sealed(body.get(..60).unwrap())), Err(TicketError::Length(_))));
        assert!(matches!(parse(&format!("kappa1{}", "a".repeat(9000))), Err(TicketError::TooLong(9006))));
    }

    #[test]
    fn cutting_it_anywhere_is_noticed() {
        let text = ticket(&["127.0.0.1:4000"]).to_string();
        for end in PREFIX.len()..text.len() {
            assert_eq!(parse(text.get(..end).unwrap()), Err(TicketError::Checksum), "cut at {end}");
        }
    }

    #[test]
    fn only_addresses_that_can_be_dialed_are_taken() {
        let access = ticket(&[]).access();
        let make = |address: &str| Ticket::new(&access, FeedKey([3; 32]), vec![address.to_owned()]);
        for bad in
            ["", "host", ":1", "host:", "host:66000", "ho st:1", "h\n:1", &format!("{}:1", "h".repeat(254))]
        {
            assert_eq!(make(bad), Err(TicketError::Address(bad.to_owned())));
        }
        let many = vec!["h:1".to_owned(); MAX_ADDRESSES + 1];
        assert_eq!(
            Ticket::new(&access, FeedKey([3; 32]), many),
            Err(TicketError::Addresses(MAX_ADDRESSES + 1))
        );
    }

    #[test]
    fn the_greatest_ticket_is_read_back() {
        let long = format!("{}:65535", "h".repeat(MAX_ADDRESS - 6));
        let keys: Vec<_> = (1..).map(|n| FeedKey([n; 32])).take(MAX_TRUSTED).collect();
        let greatest = ticket(&[long.as_str(); MAX_ADDRESSES]).trusting(keys.clone(), keys).unwrap();
        assert_eq!(parse(&greatest.to_string()), Ok(greatest));
    }

    #[test]
    fn debug_hides_the_key() {
        assert!(format!("{:?}", ticket(&[])).contains("AccessKey(secret)"));
    }

    proptest! {
        #[test]
        fn round_trips(db: [u8; 32], epoch: u32, key: [u8; 32], peer: [u8; 32], hosts in prop::collection::vec("[a-z0-9.-]{1,40}:[1-9][0-9]{0,3}", 0..MAX_ADDRESSES), admins in trusted(), mods in trusted()) {
            let access = Access { database: DatabaseId(db), epoch, key: AccessKey::new(key) };
            let ticket = Ticket::new(&access, FeedKey(peer), hosts).unwrap().trusting(admins, mods).unwrap();
            prop_assert_eq!(parse(&ticket.to_string()), Ok(ticket.clone()));
            prop_assert_eq!(ticket.access(), access);
        }

        #[test]
        fn a_changed_character_is_noticed(at in 6usize..180, to in "[a-z2-7]") {
            let text = ticket(&["127.0.0.1:4000"]).to_string();
            let mut changed = text.clone();
            prop_assume!(at < text.len());
            changed.replace_range(at..at + 1, &to);
            prop_assert_eq!(parse(&changed).is_ok(), changed == text);
        }

        #[test]
        fn noise_never_panics_and_what_is_read_is_canonical(noise in prop::collection::vec(any::<u8>(), 0..60), keep in 0usize..140) {
            // Noise behind a sound beginning and under a fitting checksum gets past the first checks.
            let body = ticket(&["127.0.0.1:4000", "[::1]:4000"]).body().to_vec();
            let text = sealed(&[body.get(..keep).unwrap_or(&body), &noise].concat());
            if let Ok(ticket) = parse(&text) {
                prop_assert_eq!(ticket.to_string(), text);
            }
        }

        #[test]
        fn any_text_is_an_error_or_a_ticket(text in "(kappa1)?\\PC{0,80}") {
            prop_assert!(parse(&text).is_err());
        }
    }
}
