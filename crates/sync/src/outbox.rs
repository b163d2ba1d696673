//! What waits to be taken from a session: frames, commands, events.

use crate::command::{Command, CommandId};
use crate::error::SessionError;
use crate::event::Event;
use crate::frame::Frame;
use kappadb_core::limits::{EVENT_QUEUE, MAX_QUEUED_FRAMES, SEND_QUEUE};
use std::collections::VecDeque;

/// Bytes of results that a reader has taken, when it takes the event: to be granted back to this query.
pub(crate) type Taken = Option<(u32, usize)>;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Vec<u8>>,
    frame_bytes: usize,
    commands: VecDeque<(CommandId, Command)>,
    next_command: u64,
    events: VecDeque<(Event, Taken)>,
}

impl Outbox {
    /// Queues a frame.
    pub fn send(&mut self, frame: &Frame) -> Result<(), SessionError> {
        self.send_bytes(frame.encode())
    }

    /// Queues an encoded frame.
    pub fn send_bytes(&mut self, frame: Vec<u8>) -> Result<(), SessionError> {
        if self.frames.len() >= MAX_QUEUED_FRAMES {
            return Err(SessionError::Limit("MAX_QUEUED_FRAMES"));
        }
        self.frame_bytes += frame.len();
        self.frames.push_back(frame);
        Ok(())
    }

    /// True while another piece of an answer may be made.
    pub fn has_room(&self) -> bool {
        self.frame_bytes < SEND_QUEUE && self.frames.len() < MAX_QUEUED_FRAMES / 4
    }

    /// True while something waits to be sent.
    pub fn has_frames(&self) -> bool {
        !self.frames.is_empty()
    }

    /// True if the caller does not take its events.
    pub fn is_crowded(&self) -> bool {
        self.events.len() >= EVENT_QUEUE
    }

    pub fn take_frame(&mut self) -> Option<Vec<u8>> {
        let frame = self.frames.pop_front()?;
        self.frame_bytes -= frame.len();
        Some(frame)
    }

    pub fn command(&mut self, command: Command) -> CommandId {
        let id = CommandId(self.next_command);
        self.next_command += 1;
        self.commands.push_back((id, command));
        id
    }

    pub fn take_command(&mut self) -> Option<(CommandId, Command)> {
        self.commands.pop_front()
    }

    /// Takes back a command that nobody has taken yet. False if somebody has.
    pub fn withdraw(&mut self, id: CommandId) -> bool {
        let before = self.commands.len();
        self.commands.retain(|(queued, _)| *queued != id);
        self.commands.len() < before
    }

    pub fn event(&mut self, event: Event) {
        self.events.push_back((event, None));
    }

    /// An event that gives `bytes` of credit back to `query` when it is taken.
    pub fn results(&mut self, event: Event, query: u32, bytes: usize) {
        self.events.push_back((event, Some((query, bytes))));
    }

    pub fn take_event(&mut self) -> Option<(Event, Taken)> {
        self.events.pop_front()
    }

    /// Drops what the peer and storage were to get. Events stay.
    pub fn clear(&mut self, keep_commands: bool) {
        self.frames.clear();
        self.frame_bytes = 0;
        if !keep_commands {
            self.commands.clear();
        }
    }
}
