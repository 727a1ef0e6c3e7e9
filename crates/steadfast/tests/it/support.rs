//! What the tests share.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use steadfast::breaker::{Circuit, CircuitConfig, OpenTime};
use tokio::net::TcpListener;

/// Opens after two failures and stays open for ten minutes.
pub(crate) fn touchy() -> Circuit {
    let open_time = OpenTime::constant(Duration::from_secs(600)).unwrap();
    let (window, minimum) = (10.try_into().unwrap(), 2.try_into().unwrap());
    Circuit::new(
        CircuitConfig::new().count_window(window).minimum_calls(minimum).open_time(open_time),
    )
    .unwrap()
}

/// Serves on a free port until the test's runtime ends.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// An address that no process listens on.
pub(crate) async fn vacant() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap()
}
