//! A runtime to stand in: some peers take its handle when they are called, though no timer is ever
//! polled.

use std::{future::Future, panic, process, sync::LazyLock};

use tokio::runtime::{Builder, EnterGuard, Runtime};

/// Lets this thread stand in a tokio runtime, which itself does nothing.
pub fn enter() -> EnterGuard<'static> {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(runtime);
    RUNTIME.enter()
}

/// Runs a future to its end, as the main function of a program does. Each thread has its own
/// runtime.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: Runtime = runtime();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O needs nothing of the system")
}

/// Ends the program with the first panic of any thread: the others would wait for that thread for
/// ever.
pub fn abort_on_panic() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        print(info);
        process::abort();
    }));
}
