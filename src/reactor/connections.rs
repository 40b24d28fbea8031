//! TCP and Unix connections, accepted or dialled, each with a queue of bytes that its peer has not read yet.
//!
//! An idle connection costs its slot and no buffer: all share one read buffer, and the first queued message lies in the
//! slot itself. Queued bytes are shared between connections, never copied. The queue of a peer must not grow beyond the
//! bound: the connection is closed instead.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;

use mio::{Interest, Registry};
use slab::Slab;

use super::clock::now;
use super::errors::{hung_up, reason};
use super::stream::Stream;
use super::tls::{Opened, SEALED_AT_ONCE, TlsStream};
use super::tokens::{SourceKind, token};
use crate::machine::{Bytes, Cause, ConnId, IdMap, LARGE, ListenerId, Peer, Reason, Time};

/// The most queued messages in one write.
const SLICES_A_WRITE: usize = 64;
/// The cost of a queued message in addition to its bytes, so that a flood of tiny messages is bounded too.
const COST_OF_A_MESSAGE: usize = 32;
/// The cost of a [large](LARGE) message. It is low, so that such a message does not close the connection of a peer that reads
/// as fast as it can, and not zero, so that the number of queued messages is bounded.
const COST_OF_A_LARGE_MESSAGE: usize = 64 * 1024;

/// The state of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Being dialled; sent bytes are queued. Also if the machine has closed it with something queued.
    Dialling,
    /// Both ends are proving their names; sent bytes are queued.
    Handshaking,
    Open,
    /// The machine closed it: queued bytes are still written, received bytes are dropped.
    Closing,
    /// As `Closing`, with everything written and our half shut. Waits for the peer's end of file.
    HalfClosed,
    /// Closed; the machine has not heard it yet.
    Gone,
}

struct Conn {
    id: ConnId,
    stream: Option<Stream>,
    /// The oldest queued message. The others are in `more`.
    first: Option<Bytes>,
    /// One word in an idle connection, where the queue itself would be four.
    #[allow(clippy::box_collection)]
    more: Option<Box<VecDeque<Bytes>>>,
    /// The number of bytes of `first` that are written.
    written: usize,
    /// The cost of all queued messages.
    queued: usize,
    state: State,
    /// The machine closed it while it was being dialled, or in its handshake.
    closed: bool,
    /// In the list of connections to flush at the end of the turn.
    dirty: bool,
    /// The poll reports when the socket takes bytes again.
    awaits_room: bool,
    /// The peer has read nothing of the queue since the last check.
    stuck: bool,
    /// In the list of sources to read from.
    ready: bool,
    /// The peer has shut its half: read until its end of file.
    ends: bool,
}

/// The outcome of a flush or a read.
#[derive(Debug)]
pub enum Flushed {
    /// The connection goes on.
    Fine,
    /// The connection is closed, and the machine must hear it.
    Lost(ConnId, Reason),
    /// The connection is closed, and the machine knows it.
    Done,
    /// A peer that connected to us has not proven its names. The machine does not know this connection.
    TurnedAway(ConnId, String),
}

/// The result of a read.
#[derive(Debug)]
pub struct Got {
    pub conn: ConnId,
    /// The number of bytes for the machine; 0 if it has closed the connection.
    pub length: usize,
    /// The socket may have more.
    pub more: bool,
    /// The handshake is complete, and the machine has not heard of the connection yet.
    pub proven: bool,
}

/// A peer that has proven its names, with the listener that accepted it, or else the address from which it was dialled.
pub type Introduced = (Option<ListenerId>, Peer, Option<SocketAddr>);

/// The state of a dialled connection after an event.
pub enum Confirmed {
    /// It is not being dialled.
    Not,
    Pending,
    Up(ConnId, Peer, Option<SocketAddr>),
    /// It is established, and its handshake begins.
    Handshaking(ConnId),
    /// It is established, and the machine has closed it: queued bytes are still written.
    Closing(ConnId),
    Failed(ConnId, Reason),
}

/// All connections.
pub struct Connections {
    slab: Slab<Conn>,
    slots: IdMap<ConnId, u32>,
    /// The slots to flush, and how many of them belong to the flush that goes on.
    dirty: VecDeque<u32>,
    to_flush: usize,
    /// The slots that may have more to read.
    ready: VecDeque<u32>,
    /// How many slots were taken from `ready` since the beginning.
    taken: u64,
    /// Some queued bytes wait for a peer to read.
    some_wait: bool,
    registry: Registry,
    max_queue: usize,
    /// The read buffer of all TLS connections.
    sealed: Vec<u8>,
}

impl Connections {
    pub fn new(registry: Registry, max_queue: usize) -> Connections {
        let (slab, slots) = (Slab::new(), IdMap::default());
        let (dirty, ready, sealed) = (VecDeque::new(), VecDeque::new(), Vec::new());
        Connections { slab, slots, dirty, to_flush: 0, ready, taken: 0, some_wait: false, registry, max_queue, sealed }
    }

    /// Returns the number of connections.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Returns the number of slots that may have more to read.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Returns the number of slots that were taken to be read since the beginning.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether some queued bytes wait for a peer to read.
    pub fn some_wait(&self) -> bool {
        self.some_wait
    }

    fn insert(&mut self, id: ConnId, stream: Option<Stream>, state: State) -> u32 {
        let conn = Conn {
            id,
            stream,
            first: None,
            more: None,
            written: 0,
            queued: 0,
            state,
            closed: false,
            dirty: false,
            awaits_room: false,
            stuck: false,
            ready: false,
            ends: false,
        };
        // The number of descriptors bounds the slots far below 2^32.
        let slot = self.slab.insert(conn) as u32;
        self.slots.insert(id, slot);
        slot
    }

    /// Adds an accepted connection. Fails if the system refuses to watch it.
    pub fn accept(&mut self, id: ConnId, mut stream: Stream) -> io::Result<()> {
        if let Some(stream) = stream.tcp() {
            stream.set_nodelay(true)?;
        }
        let entry = token(SourceKind::Conn, self.slab.vacant_key());
        self.registry.register(stream.source(), entry, Interest::READABLE)?;
        let state = if stream.tls().is_some() { State::Handshaking } else { State::Open };
        self.insert(id, Some(stream), state);
        Ok(())
    }

    /// Makes room for a connection that will be dialled.
    pub fn reserve(&mut self, id: ConnId) {
        self.insert(id, None, State::Dialling);
    }

    /// Whether `id` is still being dialled.
    pub fn is_dialling(&self, id: ConnId) -> bool {
        self.slots.get(&id).is_some_and(|slot| self.slab[*slot as usize].state == State::Dialling)
    }

    /// Gives a dialled connection its next socket.
    pub fn attach(&mut self, id: ConnId, mut stream: Stream) -> io::Result<()> {
        let Some(&slot) = self.slots.get(&id) else { return Ok(()) };
        let both = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(stream.source(), token(SourceKind::Conn, slot as usize), both)?;
        let conn = &mut self.slab[slot as usize];
        conn.stream = Some(stream);
        conn.awaits_room = true;
        Ok(())
    }

    /// Drops the socket of an attempt that failed; dropping it ends its registration.
    pub fn detach(&mut self, id: ConnId) {
        if let Some(&slot) = self.slots.get(&id) {
            self.slab[slot as usize].stream = None;
        }
    }

    /// Checks whether a dialled connection is established.
    pub fn confirm(&mut self, slot: u32) -> Confirmed {
        let Some(conn) = self.slab.get_mut(slot as usize) else { return Confirmed::Not };
        if conn.state != State::Dialling {
            return Confirmed::Not;
        }
        let Some(stream) = &conn.stream else { return Confirmed::Pending };
        match stream.confirm() {
            Ok(None) => Confirmed::Pending,
            Ok(Some(_)) if matches!(stream, Stream::Tls(_)) => {
                conn.state = State::Handshaking;
                let id = conn.id;
                self.touch(slot);
                Confirmed::Handshaking(id)
            }
            Ok(Some(_)) if conn.closed => {
                conn.state = State::Closing;
                let id = conn.id;
                self.touch(slot);
                Confirmed::Closing(id)
            }
            Ok(Some((peer, local))) => {
                conn.state = State::Open;
                self.touch(slot);
                Confirmed::Up(self.slab[slot as usize].id, peer, local)
            }
            Err(error) => Confirmed::Failed(conn.id, reason(&error)),
        }
    }

    /// Queues bytes, which are written at the end of the turn.
    pub fn send(&mut self, id: ConnId, bytes: Bytes) {
        let Some(&slot) = self.slots.get(&id) else { return };
        let conn = &mut self.slab[slot as usize];
        let takes = matches!(conn.state, State::Open | State::Dialling | State::Handshaking);
        if bytes.is_empty() || conn.closed || !takes {
            return;
        }
        conn.queued += cost(&bytes);
        match (&conn.first, &mut conn.more) {
            (None, _) => conn.first = Some(bytes),
            (Some(_), Some(more)) => more.push_back(bytes),
            (Some(_), more) => *more = Some(Box::new(VecDeque::from([bytes]))),
        }
        self.touch(slot);
    }

    fn touch(&mut self, slot: u32) {
        let conn = &mut self.slab[slot as usize];
        if !conn.dirty {
            conn.dirty = true;
            self.dirty.push_back(slot);
        }
    }

    /// Closes a connection after its queue is written. Returns whether the connection lingers for that.
    pub fn close(&mut self, id: ConnId) -> bool {
        let Some(&slot) = self.slots.get(&id) else { return false };
        let conn = &mut self.slab[slot as usize];
        match conn.state {
            State::Open => {
                conn.state = State::Closing;
                self.touch(slot);
                true
            }
            State::Dialling | State::Handshaking if conn.first.is_some() => {
                conn.closed = true;
                true
            }
            State::Dialling | State::Handshaking | State::Gone => {
                self.remove(slot);
                false
            }
            State::Closing | State::HalfClosed => true,
        }
    }

    /// Closes all connections as [`Connections::close`] does, without waiting for host names.
    pub fn close_all(&mut self) {
        let all: Vec<(ConnId, bool)> = self.slab.iter().map(|(_, conn)| (conn.id, conn.stream.is_some())).collect();
        for (id, has_stream) in all {
            if !has_stream || !self.close(id) {
                self.forget(id);
            }
        }
    }

    /// Drops a connection after its time to linger.
    pub fn drop_lingering(&mut self, id: ConnId) {
        if let Some(&slot) = self.slots.get(&id) {
            let conn = &self.slab[slot as usize];
            debug_assert!(conn.closed || matches!(conn.state, State::Closing | State::HalfClosed));
            self.remove(slot);
        }
    }

    /// Closes a connection before the machine hears it. Its slot stays until [`Connections::forget`].
    pub fn fail(&mut self, id: ConnId) {
        if let Some(&slot) = self.slots.get(&id) {
            let conn = &mut self.slab[slot as usize];
            (conn.stream, conn.first, conn.more, conn.queued) = (None, None, None, 0);
            conn.state = State::Gone;
        }
    }

    /// Frees the slot of a connection that failed. Returns `false` if the machine must not hear it, because it has closed
    /// the connection.
    pub fn forget(&mut self, id: ConnId) -> bool {
        match self.slots.get(&id) {
            Some(&slot) => {
                let told = self.slab[slot as usize].closed;
                self.remove(slot);
                !told
            }
            None => false,
        }
    }

    fn remove(&mut self, slot: u32) {
        let conn = self.slab.remove(slot as usize);
        self.slots.remove(&conn.id);
    }

    /// Whether bytes are queued on a connection that the machine has closed.
    pub fn has_queued(&self) -> bool {
        self.slab.iter().any(|(_, conn)| conn.has_unwritten() && (conn.closed || conn.state == State::Closing))
    }

    /// Remembers that a slot may have something to read.
    pub fn mark_ready(&mut self, slot: u32, ends: bool) {
        if let Some(conn) = self.slab.get_mut(slot as usize) {
            conn.ends |= ends;
            if !conn.ready {
                conn.ready = true;
                self.ready.push_back(slot);
            }
        }
    }

    /// Takes the next slot to read from.
    pub fn next_ready(&mut self) -> Option<u32> {
        let slot = self.ready.pop_front()?;
        self.taken += 1;
        if let Some(conn) = self.slab.get_mut(slot as usize) {
            conn.ready = false;
        }
        Some(slot)
    }

    /// Whether the queue of a slot is beyond the bound. If it still is at the end of the turn, the connection is closed.
    pub fn is_over(&self, slot: u32) -> bool {
        self.slab.get(slot as usize).is_some_and(|conn| conn.queued > self.max_queue)
    }

    /// Remembers that a slot can be written to again.
    pub fn mark_writable(&mut self, slot: u32) {
        if let Some(conn) = self.slab.get(slot as usize)
            && conn.awaits_room
            && conn.state != State::Dialling
        {
            self.touch(slot);
        }
    }

    /// Reads once. Returns `None` if there is nothing to read.
    pub fn read(&mut self, slot: u32, buffer: &mut [u8]) -> Result<Option<Got>, Flushed> {
        let Some(conn) = self.slab.get_mut(slot as usize) else { return Ok(None) };
        let deaf = match conn.state {
            State::Open | State::Handshaking => false,
            State::Closing | State::HalfClosed => true,
            State::Dialling | State::Gone => return Ok(None),
        };
        let Some(stream) = &mut conn.stream else { return Ok(None) };
        if !deaf && matches!(stream, Stream::Tls(_)) {
            return self.read_sealed(slot, buffer);
        }
        let why = loop {
            match stream.read(buffer) {
                Ok(0) => break hung_up(),
                Ok(_) if deaf => return Ok(Some(Got { conn: conn.id, length: 0, more: true, proven: false })),
                // A read that does not fill the buffer has emptied the socket, and later bytes make a new event. An end of
                // file that has arrived makes no further event, so it must be read.
                Ok(length) => {
                    let more = length == buffer.len() || conn.ends;
                    return Ok(Some(Got { conn: conn.id, length, more, proven: false }));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => break reason(&error),
            }
        };
        Err(self.over(slot, why))
    }

    /// Reads once from a TLS connection, which also continues its handshake.
    fn read_sealed(&mut self, slot: u32, buffer: &mut [u8]) -> Result<Option<Got>, Flushed> {
        self.sealed.resize(SEALED_AT_ONCE, 0);
        let conn = &mut self.slab[slot as usize];
        let Some(stream) = conn.stream.as_mut().and_then(Stream::tls) else { return Ok(None) };
        let opened = loop {
            match stream.read(buffer, &mut self.sealed) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => break Err(reason(&error)),
                Ok(Opened { length: 0, ends: true, .. }) => break Err(hung_up()),
                Ok(opened) => break Ok(opened),
            }
        };
        let answers = stream.has_sealed();
        let proven = conn.state == State::Handshaking && !stream.is_handshaking();
        let Opened { length, more, ends } = match opened {
            Ok(opened) => opened,
            Err(why) => return Err(self.over(slot, why)),
        };
        // Bytes that came with the end are handled first; the next read finds the end again.
        conn.ends |= ends;
        let more = more || conn.ends;
        let (id, closed) = (conn.id, conn.closed);
        if proven {
            conn.state = if closed { State::Closing } else { State::Open };
        }
        if answers || proven {
            self.touch(slot);
        }
        let length = if closed { 0 } else { length };
        Ok(Some(Got { conn: id, length, more, proven: proven && !closed }))
    }

    /// Returns the TLS stream of a connection, if it speaks TLS.
    pub fn tls_of(&mut self, id: ConnId) -> Option<&mut TlsStream> {
        let conn = self.slots.get(&id).and_then(|slot| self.slab.get_mut(*slot as usize));
        conn.and_then(|conn| conn.stream.as_mut()).and_then(Stream::tls)
    }

    /// Returns the names of all connections, in no order.
    pub fn ids(&self) -> Vec<ConnId> {
        self.slots.keys().copied().collect()
    }

    /// Returns the peer of a connection after its handshake.
    pub fn introduce(&mut self, id: ConnId) -> io::Result<Introduced> {
        self.tls_of(id).ok_or_else(|| ErrorKind::NotConnected.into()).and_then(|stream| stream.introduce())
    }

    /// Whether bytes of this connection are for the machine.
    pub fn is_open(&self, id: ConnId) -> bool {
        self.slots.get(&id).is_some_and(|slot| self.slab[*slot as usize].state == State::Open)
    }

    /// Whether the peer at this slot is still proving its names.
    pub fn is_handshaking(&self, slot: u32) -> bool {
        self.slab.get(slot as usize).is_some_and(|conn| conn.state == State::Handshaking)
    }

    /// Ends a handshake that has taken too long, or that others cannot wait for.
    pub fn give_up(&mut self, id: ConnId, why: &str) -> Flushed {
        match self.slots.get(&id) {
            Some(&slot) if self.is_handshaking(slot) => self.over(slot, Reason::new(Cause::NoAnswer, why)),
            _ => Flushed::Fine,
        }
    }

    fn over(&mut self, slot: u32, why: Reason) -> Flushed {
        let conn = &self.slab[slot as usize];
        let (id, state) = (conn.id, conn.state);
        if state == State::Closing || state == State::HalfClosed {
            self.remove(slot);
            return Flushed::Done;
        }
        if state == State::Handshaking && self.is_accepted(slot) {
            // The peer can still read the reason.
            self.slab[slot as usize].state = State::Closing;
            self.touch(slot);
            return Flushed::TurnedAway(id, why.words);
        }
        self.fail(id);
        Flushed::Lost(id, why)
    }

    /// Writes what is queued, one write a connection, and calls `lost` for each connection that failed. Stops at `until`.
    /// Then the next call goes on: a line for 100,000 peers takes longer than a turn.
    pub fn flush(&mut self, until: Time, mut lost: impl FnMut(ConnId, Reason)) {
        if self.to_flush == 0 {
            self.to_flush = self.dirty.len();
        }
        while self.to_flush > 0
            && let Some(slot) = self.dirty.pop_front()
        {
            self.to_flush -= 1;
            if let Some(conn) = self.slab.get_mut(slot as usize)
                && conn.dirty
            {
                conn.dirty = false;
                if let Flushed::Lost(id, why) = self.flush_one(slot) {
                    lost(id, why);
                }
                if now() >= until {
                    return;
                }
            }
        }
    }

    /// Whether a flush was stopped before its end.
    pub fn is_flushing(&self) -> bool {
        self.to_flush > 0
    }

    /// Closes the connections with a queue of which the peer has read nothing since the last call.
    pub fn close_stalled(&mut self, mut lost: impl FnMut(ConnId, Reason)) {
        self.some_wait = false;
        let mut stuck = Vec::new();
        for (slot, conn) in &mut self.slab {
            let waits = conn.state == State::Open && conn.has_unwritten();
            if waits && std::mem::replace(&mut conn.stuck, true) {
                stuck.push(slot as u32);
            }
            self.some_wait |= waits;
        }
        for slot in stuck {
            let why = format!("it does not read: {} bytes are queued", self.slab[slot as usize].waiting());
            if let Flushed::Lost(id, why) = self.over(slot, why.into()) {
                lost(id, why);
            }
        }
    }

    fn flush_one(&mut self, slot: u32) -> Flushed {
        let conn = &mut self.slab[slot as usize];
        if matches!(conn.state, State::Open | State::Closing)
            && let Err(error) = conn.write()
        {
            return self.over(slot, reason(&error));
        }
        if conn.state == State::Handshaking
            && let Err(error) = conn.write_sealed()
        {
            return self.broken(slot, &error);
        }
        if conn.queued > self.max_queue && matches!(conn.state, State::Open | State::Dialling | State::Handshaking) {
            let why = format!("it does not read: {} bytes are queued", conn.waiting());
            return self.over(slot, why.into());
        }
        if conn.state == State::Closing && conn.first.is_none() {
            match conn.stream.as_mut().map(Stream::half_close) {
                Some(Ok(true)) => {
                    conn.state = State::HalfClosed;
                    self.mark_ready(slot, false);
                }
                Some(Ok(false)) => {}
                Some(Err(_)) | None => {
                    self.remove(slot);
                    return Flushed::Done;
                }
            }
        }
        self.ask_for_room(slot)
    }

    /// Makes the poll report that a socket is writable while something is queued, and only then.
    fn ask_for_room(&mut self, slot: u32) -> Flushed {
        let conn = &mut self.slab[slot as usize];
        let wanted = match conn.state {
            State::Dialling => return Flushed::Fine,
            State::Handshaking => conn.stream.as_ref().is_some_and(Stream::has_sealed),
            _ => conn.has_unwritten(),
        };
        self.some_wait |= wanted;
        if conn.awaits_room == wanted {
            return Flushed::Fine;
        }
        conn.awaits_room = wanted;
        let Some(stream) = &mut conn.stream else { return Flushed::Fine };
        let interest = if wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        match self.registry.reregister(stream.source(), token(SourceKind::Conn, slot as usize), interest) {
            Ok(()) => Flushed::Fine,
            Err(error) => self.broken(slot, &error),
        }
    }

    /// Handles that a write has failed. If the peer was still a stranger, the machine does not know the connection.
    fn broken(&mut self, slot: u32, error: &io::Error) -> Flushed {
        if self.is_handshaking(slot) && self.is_accepted(slot) {
            self.remove(slot);
            return Flushed::Done;
        }
        self.over(slot, reason(error))
    }

    /// Whether the slot has a TLS connection that a peer made to us.
    fn is_accepted(&mut self, slot: u32) -> bool {
        let stream = self.slab.get_mut(slot as usize).and_then(|conn| conn.stream.as_mut());
        stream.and_then(Stream::tls).is_some_and(|stream| stream.is_accepted())
    }
}

impl Conn {
    /// Whether some bytes are not written to the socket yet.
    fn has_unwritten(&self) -> bool {
        self.first.is_some() || self.stream.as_ref().is_some_and(Stream::has_sealed)
    }

    /// Writes the records of TLS.
    fn write_sealed(&mut self) -> io::Result<()> {
        if let Some(stream) = self.stream.as_mut().and_then(Stream::tls) {
            stream.flush()?;
            self.stuck &= !stream.has_moved();
        }
        Ok(())
    }

    /// Writes until all is written or the socket is full.
    fn write(&mut self) -> io::Result<()> {
        let seals = matches!(self.stream, Some(Stream::Tls(_)));
        if seals {
            self.write_sealed()?;
        }
        while let (Some(first), Some(stream)) = (&self.first, &mut self.stream) {
            let rest = &first[self.written..];
            let (offered, result) = match self.more.as_ref().filter(|more| !more.is_empty()) {
                None => (rest.len(), stream.write(rest)),
                Some(more) => {
                    let mut slices = [IoSlice::new(&[]); SLICES_A_WRITE];
                    let all = std::iter::once(rest).chain(more.iter().map(|bytes| &bytes[..]));
                    let count = slices.iter_mut().zip(all).map(|(slice, bytes)| *slice = IoSlice::new(bytes)).count();
                    let offered = slices[..count].iter().map(|slice| slice.len()).sum();
                    (offered, stream.write_vectored(&slices[..count]))
                }
            };
            match result {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.advance(n);
                    // TLS takes a piece at a time, and fails itself when the socket is full.
                    if n < offered && !seals {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns the number of queued bytes.
    fn waiting(&self) -> usize {
        let all = self.first.iter().chain(self.more.iter().flat_map(|more| more.iter()));
        all.map(|bytes| bytes.len()).sum::<usize>() - self.written
    }

    /// Removes `n` written bytes from the queue.
    fn advance(&mut self, n: usize) {
        self.stuck = false;
        self.written += n;
        while let Some(first) = &self.first
            && self.written >= first.len()
        {
            self.written -= first.len();
            self.queued -= cost(first);
            self.first = self.more.as_mut().and_then(|more| more.pop_front());
        }
        if self.more.as_ref().is_some_and(|more| more.is_empty()) {
            self.more = None;
        }
    }
}

/// Returns the cost of a queued message.
fn cost(bytes: &[u8]) -> usize {
    COST_OF_A_MESSAGE + if bytes.len() > LARGE { COST_OF_A_LARGE_MESSAGE } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_message_that_many_share_costs_little_and_more_of_them_are_bounded() {
        let (large, bound) = (vec![0; 256 * LARGE], 8 * LARGE);
        assert!(cost(&large) < bound / 100);
        assert!(cost(&large) * 128 > bound, "no peer has more than a hundred queued");
        assert_eq!(cost(&large[..LARGE]), LARGE + COST_OF_A_MESSAGE);
    }

    #[test]
    fn an_idle_connection_costs_little() {
        let map_entry = size_of::<(ConnId, u32)>() * 2;
        assert!(size_of::<Conn>() + map_entry <= 160, "{} + {map_entry} bytes", size_of::<Conn>());
    }
}
