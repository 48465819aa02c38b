//! QoS 0 messages, encoded into the bytes they leave in: no allocation for each, and a burst of
//! them leaves in one write.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;

use super::codec;
use super::event::{Completion, Token};
use super::qos::Qos;
use super::queue::give_back;
use super::shaper::Shaper;
use super::spares::{LARGE, Spares};
use crate::Error;

/// A segment is closed at this size, so that memory follows what is waiting and a cut in the
/// middle of one costs a short walk.
const SEGMENT_LEN: usize = 64 * 1024;

/// Whole packets, one after the other.
#[derive(Debug, Default)]
pub struct Segment {
    /// Empty while the driver holds them.
    bytes: BytesMut,
    len: usize,
    messages: usize,
    /// Number of the first message, over all that were ever accepted.
    first: u64,
    /// Where the message of a token ends, for those who asked for one.
    marks: VecDeque<(usize, Token)>,
    /// The token that was next when the first message was accepted: its age.
    since: Option<Token>,
}

impl Segment {
    /// How many packets there are, and their bytes.
    pub fn level(&self) -> (usize, usize) {
        (self.messages, self.len)
    }

    /// Whether it is one large message, which another one behind it would have copied into larger
    /// memory.
    fn is_large(&self) -> bool {
        self.messages == 1 && self.len >= LARGE
    }

    /// Removes the first `count` packets, of `len` bytes together, and returns them.
    fn split(&mut self, count: usize, len: usize) -> Self {
        let mut marks = VecDeque::new();
        while let Some(&(end, _)) = self.marks.front()
            && end <= len
        {
            marks.extend(self.marks.pop_front());
        }
        for (end, _) in &mut self.marks {
            *end -= len.min(*end);
        }
        let front = Self {
            bytes: self.bytes.split_to(len.min(self.bytes.len())),
            len,
            messages: count,
            first: self.first,
            marks,
            since: self.since,
        };
        self.len -= len.min(self.len);
        self.messages -= count.min(self.messages);
        self.first += count as u64;
        front
    }

    /// The number and length of the whole packets in the first `len` bytes, at most `count`.
    fn whole(&self, len: usize, mut count: impl FnMut() -> bool) -> (usize, usize) {
        let (mut messages, mut end) = (0, 0);
        while let Some(rest) = self.bytes.get(end..)
            && let Some(next) = codec::first_packet_len(rest)
            && end + next <= len
            && count()
        {
            end += next;
            messages += 1;
        }
        (messages, end)
    }

    /// Completes the messages that have a token.
    pub fn complete(
        &mut self,
        result: &Result<Option<Qos>, Error>,
        completions: &mut Vec<Completion>,
    ) {
        completions.extend(self.marks.drain(..).map(|(_, token)| Completion {
            token,
            result: result.clone(),
        }));
    }

    /// How many of the messages have no token.
    pub fn unmarked(&self) -> u64 {
        self.messages.saturating_sub(self.marks.len()) as u64
    }
}

/// The messages that wait.
#[derive(Debug, Default)]
pub struct Direct {
    segments: VecDeque<Segment>,
    /// Messages ever accepted.
    accepted: u64,
    /// What the driver holds.
    leaving: Option<Segment>,
}

impl Direct {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Appends a message. `token` is its own, `next_token` the one that is next.
    pub fn push(
        &mut self,
        topic: &str,
        payload: &[u8],
        token: Option<Token>,
        next_token: Token,
        spares: &mut Spares,
    ) {
        let last = self.segments.back();
        if last.is_none_or(|last| last.len >= SEGMENT_LEN || last.is_large()) {
            self.open(spares.take(SEGMENT_LEN), next_token);
        }
        if let Some(segment) = self.segments.back_mut() {
            codec::encode_publish(&mut segment.bytes, topic, payload, Qos::AtMostOnce);
        }
        self.count(token);
    }

    /// Appends a message that is encoded already.
    pub fn push_encoded(&mut self, packet: BytesMut, token: Option<Token>, next_token: Token) {
        self.open(packet, next_token);
        self.count(token);
    }

    /// Gives back the memory of what is empty.
    pub fn rest(&mut self) {
        give_back(&mut self.segments);
    }

    fn open(&mut self, bytes: BytesMut, next_token: Token) {
        self.segments.push_back(Segment {
            bytes,
            first: self.accepted,
            since: Some(next_token),
            ..Segment::default()
        });
    }

    /// The last segment has got one message more.
    fn count(&mut self, token: Option<Token>) {
        if let Some(segment) = self.segments.back_mut() {
            segment.messages += 1;
            segment.len = segment.bytes.len();
            let mark = token.map(|token| (segment.len, token));
            segment.marks.extend(mark);
        }
        self.accepted += 1;
    }

    /// The bytes that may leave now. Until they are given back or taken, nothing else leaves.
    pub fn pop(&mut self, shaper: &mut Shaper, now: Duration) -> BytesMut {
        let Some(front) = self.segments.front_mut() else {
            return BytesMut::new();
        };
        let (messages, len) = if shaper.is_open() {
            (front.messages, front.len)
        } else {
            front.whole(front.len, || shaper.take(now))
        };
        let mut leaving = if messages == front.messages {
            self.segments.pop_front().unwrap_or_default()
        } else {
            front.split(messages, len)
        };
        let bytes = std::mem::take(&mut leaving.bytes);
        if leaving.messages > 0 {
            self.leaving = Some(leaving);
        }
        bytes
    }

    /// The socket took all of the bytes that [`Direct::pop`] gave. Returns what they were.
    pub fn handle_taken(&mut self) -> Segment {
        self.leaving.take().unwrap_or_default()
    }

    /// The connection went when the socket had taken `len` of the `bytes` that [`Direct::pop`]
    /// gave. Returns the whole messages in them. The rest waits again, first the one that was cut
    /// in the middle.
    pub fn take_back(&mut self, bytes: BytesMut, len: usize) -> Segment {
        let Some(mut segment) = self.leaving.take() else {
            return Segment::default();
        };
        segment.bytes = bytes;
        let (messages, whole) = segment.whole(len, || true);
        let taken = segment.split(messages, whole);
        if segment.messages > 0 {
            self.segments.push_front(segment);
        }
        taken
    }

    /// How many messages wait, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        let levels = self.segments.iter().map(Segment::level);
        levels.fold((0, 0), |sum, level| (sum.0 + level.0, sum.1 + level.1))
    }

    /// How old the oldest waiting message is, in tokens.
    pub fn age(&self) -> Option<Token> {
        self.segments.front()?.since
    }

    /// Removes the oldest waiting message.
    pub fn drop_oldest(&mut self) -> Option<Segment> {
        let front = self.segments.front_mut()?;
        let mut one = true;
        let (messages, len) = front.whole(front.len, || std::mem::take(&mut one));
        let dropped = front.split(messages, len);
        if front.messages == 0 {
            self.segments.pop_front();
        }
        Some(dropped)
    }

    /// Removes everything, with what the driver holds: what becomes of that is nobody's business any
    /// more.
    pub fn drain(&mut self) -> impl Iterator<Item = Segment> + use<> {
        let waiting = std::mem::take(&mut self.segments);
        self.leaving.take().into_iter().chain(waiting)
    }

    /// The number of the next message.
    pub fn mark(&self) -> u64 {
        self.accepted
    }

    /// Whether every message before `mark` has left.
    pub fn has_passed(&self, mark: u64) -> bool {
        let mut oldest = self.leaving.iter().chain(self.segments.front());
        oldest.all(|segment| segment.first >= mark)
    }
}

#[cfg(test)]
mod tests;
