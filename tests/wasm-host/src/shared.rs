//! Shared data and shared queues.

use std::collections::{HashMap, VecDeque};

use super::abi::Status;

/// Values with a compare-and-swap number, as in proxy-wasm-cpp-host's `shared_data.cc`.
#[derive(Debug, Default)]
pub(super) struct SharedData {
    values: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    last_cas: u32,
}

impl SharedData {
    pub(super) fn get(&self, key: &[u8]) -> Result<(Vec<u8>, u32), Status> {
        self.values.get(key).cloned().ok_or(Status::NotFound)
    }

    /// Stores a value unless `cas` is out of date. A `cas` of 0 always stores, and so does a new
    /// key.
    pub(super) fn set(&mut self, key: Vec<u8>, value: Vec<u8>, cas: u32) -> Result<(), Status> {
        if self.values.get(&key).is_some_and(|(_, current)| cas != 0 && cas != *current) {
            return Err(Status::CasMismatch);
        }
        self.last_cas = self.last_cas.wrapping_add(1).max(1);
        self.values.insert(key, (value, self.last_cas));
        Ok(())
    }
}

/// Queues by name; tokens count from 1.
#[derive(Debug, Default)]
pub(super) struct SharedQueues {
    tokens: HashMap<Vec<u8>, u32>,
    queues: HashMap<u32, VecDeque<Vec<u8>>>,
}

impl SharedQueues {
    pub(super) fn register(&mut self, name: Vec<u8>) -> u32 {
        let next = u32::try_from(self.tokens.len()).unwrap_or(u32::MAX).saturating_add(1);
        let token = *self.tokens.entry(name).or_insert(next);
        self.queues.entry(token).or_default();
        token
    }

    pub(super) fn resolve(&self, name: &[u8]) -> Result<u32, Status> {
        self.tokens.get(name).copied().ok_or(Status::NotFound)
    }

    pub(super) fn enqueue(&mut self, token: u32, value: Vec<u8>) -> Result<(), Status> {
        self.queues.get_mut(&token).ok_or(Status::NotFound)?.push_back(value);
        Ok(())
    }

    pub(super) fn dequeue(&mut self, token: u32) -> Result<Vec<u8>, Status> {
        self.queues.get_mut(&token).ok_or(Status::NotFound)?.pop_front().ok_or(Status::Empty)
    }
}
