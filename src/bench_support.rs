//! A device and its mailbox on one thread, without a socket: what bench/instructions counts.
//!
//! Behind the feature `bench`, which is for that alone. No promise covers what is in here.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::engine::mailbox::{CompletionHandler, Mailbox, MessageHandler, Shared};
use crate::engine::sync::Mutex;
use crate::proto::budget::Budget;
use crate::proto::codec;
use crate::proto::device::Device;
use crate::proto::outbox::Chunk;
use crate::{Config, Error, Qos, TopicFilter};

/// Time stands still.
const NOW: Duration = Duration::from_secs(1);

/// See the module.
pub struct Loop {
    device: Device<Shared<MessageHandler>>,
    mailbox: Mailbox,
    chunk: Chunk,
    inbound: BytesMut,
    written: Vec<u8>,
}

impl Loop {
    /// A device that is connected and calls `on_message` for what matches `filter`.
    ///
    /// # Errors
    ///
    /// What the device says to the filter.
    pub fn new(
        config: &Config,
        filter: &str,
        on_message: MessageHandler,
        on_completion: CompletionHandler,
    ) -> Result<Self, Error> {
        let mut device = Device::new(config.clone());
        let mut budget = Budget::new(None);
        device.start(NOW)?;
        device.handle_timeout(NOW, &mut budget);
        let _ = device.poll_action();
        device.handle_link_up();
        device.subscribe(TopicFilter::parse(filter)?, Qos::AtLeastOnce, || {
            Arc::new(Mutex::new(on_message))
        })?;
        let mailbox = Mailbox::default();
        mailbox.change_handlers(|handlers| {
            handlers.completion = Some(Arc::new(Mutex::new(on_completion)));
            Default::default()
        });
        let mut this = Self {
            device,
            mailbox,
            chunk: Chunk::default(),
            inbound: BytesMut::new(),
            written: Vec::new(),
        };
        this.send();
        this.receive(&[0x20, 2, 0, 0]);
        this.send();
        this.receive(&[0x90, 3, 0, 1, 1]);
        this.deliver();
        Ok(this)
    }

    /// What the application's call does under the lock.
    ///
    /// # Errors
    ///
    /// What the device says.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: Qos) -> Result<(), Error> {
        self.device
            .publish(topic, payload, qos, false, None)
            .map(drop)
    }

    /// What the driver does until nothing is left to write. Returns what the socket would have got.
    pub fn send(&mut self) -> &[u8] {
        self.written.clear();
        while self.device.has_transmit(NOW) {
            self.device.poll_transmit(&mut self.chunk, NOW);
            let rest = self.chunk.rest();
            let len = rest.iter().map(|part| part.len()).sum();
            for part in rest {
                self.written.extend_from_slice(part);
            }
            self.chunk.advance(len);
            self.device.handle_written(&mut self.chunk, NOW);
        }
        self.mailbox.push(self.device.outputs());
        &self.written
    }

    /// What the driver does with what one read gave.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.inbound.extend_from_slice(bytes);
        let mut packets = Vec::new();
        while let Ok(Some((frame, header_len))) = codec::split(&mut self.inbound, usize::MAX) {
            packets.extend(codec::decode(frame, header_len));
        }
        if self.inbound.is_empty() {
            self.inbound = BytesMut::new();
        }
        self.device.handle_packets(packets.drain(..), NOW);
        self.mailbox.push(self.device.outputs());
    }

    /// What the callback side does. Returns how many callbacks ran.
    pub fn deliver(&mut self) -> usize {
        let mut callbacks = 0;
        loop {
            let (delivered, again) = self.mailbox.deliver(&|_| ());
            callbacks += delivered.callbacks;
            if delivered.callbacks > 0 {
                self.device.handle_delivered(
                    delivered.bytes,
                    delivered.completions,
                    delivered.acks.into_iter(),
                );
            }
            if !again {
                return callbacks;
            }
        }
    }

    /// `count` PUBLISH packets as the platform would send them.
    pub fn packets(topic: &str, payload: &[u8], qos: Qos, count: u16) -> Bytes {
        let mut packets = BytesMut::new();
        for id in 1..=count {
            let mut packet = BytesMut::new();
            let id_at = codec::encode_publish(&mut packet, topic, payload, qos);
            if qos == Qos::AtLeastOnce {
                codec::set_packet_id(&mut packet, id_at, id);
            }
            packets.extend_from_slice(&packet);
        }
        packets.freeze()
    }

    /// The acknowledgements of all QoS 1 messages in `written`, which holds nothing else.
    pub fn acknowledgements(written: &[u8], out: &mut BytesMut) {
        out.clear();
        let mut rest = written;
        while let Some(len) = codec::first_packet_len(rest) {
            let (packet, after) = rest.split_at(len);
            let header_len = 1
                + packet
                    .iter()
                    .skip(1)
                    .take_while(|byte| **byte >= 0x80)
                    .count()
                + 1;
            let body = packet.get(header_len..).unwrap_or_default();
            if let [high, low, ref body @ ..] = *body {
                let topic_len = usize::from(u16::from_be_bytes([high, low]));
                if let Some(&[high, low]) = body.get(topic_len..topic_len + 2) {
                    codec::encode_puback(out, u16::from_be_bytes([high, low]));
                }
            }
            rest = after;
        }
    }
}
