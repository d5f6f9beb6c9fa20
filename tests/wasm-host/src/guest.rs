//! A hostcall's access to the guest's memory, and its result.

use wasmtime::{Caller, Error, Memory};

use super::abi::Status;
use super::state::HostState;

/// Why a hostcall does not return `Ok`: the guest receives a status, or the VM traps.
pub(super) enum Halt {
    Status(Status),
    Trap(Error),
}

impl From<Status> for Halt {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Error> for Halt {
    fn from(trap: Error) -> Self {
        Self::Trap(trap)
    }
}

/// Runs a hostcall. While the VM starts it traps: Envoy then allows only `proxy_log`.
pub(super) fn hostcall(
    caller: Caller<'_, HostState>,
    run: impl FnOnce(&mut Guest<'_>) -> Result<(), Halt>,
) -> Result<u32, Error> {
    if caller.data().restricted {
        return Err(Error::msg("only proxy_log may be called while the VM starts"));
    }
    hostcall_at_any_time(caller, run)
}

/// Runs a hostcall that is also allowed while the VM starts.
pub(super) fn hostcall_at_any_time(
    caller: Caller<'_, HostState>,
    run: impl FnOnce(&mut Guest<'_>) -> Result<(), Halt>,
) -> Result<u32, Error> {
    let mut guest = Guest { caller };
    match run(&mut guest) {
        Ok(()) => Ok(Status::Ok as u32),
        Err(Halt::Status(status)) => Ok(status as u32),
        Err(Halt::Trap(trap)) => Err(trap),
    }
}

/// The calling guest.
pub(super) struct Guest<'a> {
    caller: Caller<'a, HostState>,
}

impl Guest<'_> {
    pub(super) fn state(&mut self) -> &mut HostState {
        self.caller.data_mut()
    }

    /// Copies bytes out of the guest.
    pub(super) fn read(&mut self, data: u32, size: u32) -> Result<Vec<u8>, Halt> {
        let memory = self.memory()?;
        let bytes = memory
            .data(&self.caller)
            .get(usize_of(data)..)
            .and_then(|from| from.get(..usize_of(size)))
            .ok_or(Status::InvalidMemoryAccess)?;
        Ok(bytes.to_vec())
    }

    /// Copies text out of the guest; bytes that are not UTF-8 become `U+FFFD`.
    pub(super) fn read_text(&mut self, data: u32, size: u32) -> Result<String, Halt> {
        Ok(String::from_utf8_lossy(&self.read(data, size)?).into_owned())
    }

    pub(super) fn write_u32(&mut self, at: u32, value: u32) -> Result<(), Halt> {
        self.write(at, &value.to_le_bytes())
    }

    pub(super) fn write_u64(&mut self, at: u32, value: u64) -> Result<(), Halt> {
        self.write(at, &value.to_le_bytes())
    }

    /// Copies bytes into memory that the guest allocates; no bytes are a null pointer.
    pub(super) fn give(&mut self, data_at: u32, size_at: u32, bytes: &[u8]) -> Result<(), Halt> {
        let size = u32::try_from(bytes.len()).map_err(|_| Status::InternalFailure)?;
        let data = if bytes.is_empty() { 0 } else { self.allocate(size)? };
        self.write(data, bytes)?;
        self.write_u32(data_at, data)?;
        self.write_u32(size_at, size)
    }

    fn allocate(&mut self, size: u32) -> Result<u32, Halt> {
        let allocator = self.state().allocator.clone().ok_or(Status::InternalFailure)?;
        let data = allocator.call(&mut self.caller, size)?;
        if data == 0 { Err(Status::InvalidMemoryAccess.into()) } else { Ok(data) }
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Halt> {
        let memory = self.memory()?;
        memory
            .write(&mut self.caller, usize_of(at), bytes)
            .map_err(|_| Status::InvalidMemoryAccess.into())
    }

    fn memory(&mut self) -> Result<Memory, Halt> {
        let memory = self.caller.get_export("memory").and_then(wasmtime::Extern::into_memory);
        memory.ok_or(Halt::Status(Status::InvalidMemoryAccess))
    }
}

fn usize_of(offset: u32) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
