//! A link as its tasks see it.

use tokio::sync::watch;

use super::settings::Settings;

/// The settings of a link: read them, and wait until they change.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    changes: watch::Receiver<Settings>,
    /// A receiver of its own, so that settings can be read while a change is waited for.
    settings: watch::Receiver<Settings>,
}

/// The last handle of the proxy is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Abandoned;

/// Waits for a change of the settings.
#[derive(Debug)]
pub(super) struct Changes<'a>(&'a mut watch::Receiver<Settings>);

/// The settings while a change of them is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate<'a> {
    settings: &'a watch::Receiver<Settings>,
    version: u64,
}

impl Watch {
    pub(super) fn new(settings: &watch::Sender<Settings>) -> Self {
        Self { changes: settings.subscribe(), settings: settings.subscribe() }
    }

    /// A copy of the newest settings.
    pub(super) fn latest(&mut self) -> Settings {
        self.changes.borrow_and_update().clone()
    }

    /// The newest settings, which stay as they are while they are held.
    pub(super) fn hold(&self) -> watch::Ref<'_, Settings> {
        self.settings.borrow()
    }

    /// A wait for a change after the [`latest`](Self::latest) settings.
    pub(super) async fn changed(&mut self) -> Result<(), Abandoned> {
        Changes(&mut self.changes).wait().await
    }

    /// The same, and beside it a gate that is open as long as the settings are of this version.
    pub(super) const fn gate(&mut self, version: u64) -> (Changes<'_>, Gate<'_>) {
        (Changes(&mut self.changes), Gate { settings: &self.settings, version })
    }
}

impl Changes<'_> {
    pub(super) async fn wait(self) -> Result<(), Abandoned> {
        self.0.changed().await.map_err(|_| Abandoned)
    }
}

impl Gate<'_> {
    /// Keeps the settings as they are, if they still are: what is done meanwhile was done before
    /// the next change.
    pub(super) fn enter(&self) -> Option<watch::Ref<'_, Settings>> {
        Some(self.settings.borrow()).filter(|settings| settings.version == self.version)
    }
}
