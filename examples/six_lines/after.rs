//! A shop that asks another service what is in stock.

use std::{env, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use steadfast::{breaker::BreakerLayer, http::respond, reqwest::Client, timeout::TimeoutLayer};
use tokio::net::TcpListener;

#[derive(Clone)]
struct Shop {
    client: Client,
    stock: String,
}

async fn item(State(shop): State<Shop>, Path(id): Path<u32>) -> Result<String, StatusCode> {
    let request = shop.client.get(format!("{}/items/{id}", shop.stock));
    let response = request.send().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    response.text().await.map_err(|_| StatusCode::BAD_GATEWAY)
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stock = env::var("STOCK")?;
    let limit = TimeoutLayer::adaptive(Duration::from_millis(50), Duration::from_secs(5))?.http();
    let client = Client::new(reqwest::Client::new(), (BreakerLayer::default().http(), limit));
    let shop = Shop { client, stock };
    let routes = Router::new()
        .route("/items/{id}", get(item))
        .layer(respond(BreakerLayer::default().http()))
        .route("/health", get(|| async { "up" }))
        .with_state(shop);
    let listener = TcpListener::bind(env::var("LISTEN")?).await?;
    Ok(axum::serve(listener, routes).await?)
}
