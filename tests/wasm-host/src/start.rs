//! Starting a VM, in the order of proxy-wasm-cpp-host (`src/wasm.cc`).

use std::fmt;

use anyhow::{Context as _, Result};
use wasmtime::{Linker, Store};

use super::module::FilterModule;
use super::state::{ContextId, HostState, LogLine};
use super::{FUEL, FilterHost, imports};

/// Why a filter did not start.
#[derive(Debug)]
pub enum StartError {
    /// `on_vm_start` or `on_configure` returned false; the filter logged the reason.
    Refused(Vec<LogLine>),
    /// The module is missing, malformed, or trapped.
    Failed(anyhow::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "{error:#}"),
            Self::Refused(logs) => {
                write!(f, "the filter refused its configuration")?;
                logs.iter().try_for_each(|line| write!(f, "\n{:?}: {}", line.level, line.message))
            }
        }
    }
}

impl std::error::Error for StartError {}

impl From<anyhow::Error> for StartError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Start-up and reconfiguration.
impl FilterHost {
    /// Starts a module with a plugin configuration.
    ///
    /// # Errors
    /// [`StartError`]: the filter traps, or refuses the configuration.
    pub fn start(
        module: &FilterModule,
        configuration: impl AsRef<[u8]>,
    ) -> Result<Self, StartError> {
        let mut host = Self::instantiate(module, configuration.as_ref())?;
        host.start_vm()?;
        host.root = host.new_root()?;
        Ok(host)
    }

    /// Gives the running VM another configuration, as Envoy does for a changed plugin: in a new
    /// root context, which serves new requests if the filter accepts it.
    ///
    /// # Errors
    /// [`StartError`]; the old configuration then stays in use.
    pub fn reconfigure(&mut self, configuration: impl AsRef<[u8]>) -> Result<(), StartError> {
        self.refuel()?;
        self.store.data_mut().configuration = configuration.as_ref().to_vec();
        self.root = self.new_root()?;
        Ok(())
    }

    fn instantiate(module: &FilterModule, configuration: &[u8]) -> Result<Self> {
        let mut store = Store::new(&module.engine, HostState::new(configuration.to_vec()));
        store.set_fuel(FUEL)?;
        let mut linker = Linker::new(&module.engine);
        imports::link(&mut linker, &module.module)?;
        let instance = linker.instantiate(&mut store, &module.module)?;
        let allocator = ["malloc", "proxy_on_memory_allocate"]
            .iter()
            .find_map(|name| instance.get_typed_func::<u32, u32>(&mut store, name).ok())
            .context("the module exports no malloc")?;
        store.data_mut().allocator = Some(allocator);
        Ok(Self { store, instance, root: 0, last_context: 0 })
    }

    /// Initialises a reactor and calls its `main`, if it has one; starts a command.
    fn start_vm(&mut self) -> Result<()> {
        if self.call::<_, ()>(0, "_initialize", ())?.is_some() {
            if self.call::<_, i32>(0, "main", (0, 0))?.is_none() {
                self.call::<_, i32>(0, "__main_void", ())?;
            }
        } else {
            self.call::<_, ()>(0, "_start", ())?;
        }
        self.store.data_mut().restricted = false;
        Ok(())
    }

    fn new_root(&mut self) -> Result<ContextId, StartError> {
        let root = self.new_context();
        self.store.data_mut().roots.insert(root);
        self.call::<_, ()>(root, "proxy_on_context_create", (root, 0))?;
        let size = u32::try_from(self.store.data().configuration.len()).unwrap_or(u32::MAX);
        let started = self.call::<_, u32>(root, "proxy_on_vm_start", (root, 0))?;
        let configured = self.call::<_, u32>(root, "proxy_on_configure", (root, size))?;
        if started == Some(0) || configured == Some(0) {
            return Err(StartError::Refused(self.store.data().logs.clone()));
        }
        Ok(root)
    }

    pub(super) fn new_context(&mut self) -> ContextId {
        self.last_context += 1;
        self.store.data_mut().live.insert(self.last_context);
        self.last_context
    }
}
