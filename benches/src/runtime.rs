//! A runtime to stand in: some peers take its handle when they are called, though no timer is ever polled.

use std::{panic, process, sync::LazyLock};

use tokio::runtime::{Builder, EnterGuard, Runtime};

/// Lets this thread stand in a tokio runtime, which itself does nothing.
pub fn enter() -> EnterGuard<'static> {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        Builder::new_current_thread().enable_time().build().expect("a runtime without I/O needs nothing of the system")
    });
    RUNTIME.enter()
}

/// Ends the program with the first panic of any thread: the others would wait for that thread for ever.
pub fn abort_on_panic() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        print(info);
        process::abort();
    }));
}
