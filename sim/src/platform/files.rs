//! Files that devices fetch over HTTPS.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::Error;

/// Bytes of all files together. The oldest file goes first.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// Files by the secret part of their address.
#[derive(Default)]
pub(crate) struct Files {
    /// Where the HTTPS listener is reached, such as `https://localhost:8443`.
    pub(crate) base: Option<String>,
    files: VecDeque<(String, Bytes)>,
    bytes: usize,
}

impl Files {
    /// Keeps a file and returns its address.
    pub(super) fn add(&mut self, token: String, content: Bytes) -> Result<String, Error> {
        let Some(base) = &self.base else {
            let reason = "files are served over HTTPS: start with --https";
            return Err(Error::InvalidArgument(reason.into()));
        };
        if content.is_empty() || content.len() > MAX_BYTES {
            let reason = "a file has 1 byte to 256 MiB";
            return Err(Error::InvalidArgument(reason.into()));
        }
        let address = format!("{base}/files/{token}");
        self.bytes += content.len();
        self.files.push_back((token, content));
        while self.bytes > MAX_BYTES {
            let Some((_, oldest)) = self.files.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
        }
        Ok(address)
    }

    /// The file of this address.
    pub(crate) fn get(&self, token: &str) -> Option<Bytes> {
        let found = self.files.iter().find(|(known, _)| known == token);
        found.map(|(_, content)| content.clone())
    }
}
