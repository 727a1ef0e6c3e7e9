//! A shop that asks another service what is in stock.

use std::env;

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use tokio::net::TcpListener;

#[derive(Clone)]
struct Shop {
    client: reqwest::Client,
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
    let client = reqwest::Client::new();
    let shop = Shop { client, stock };
    let routes = Router::new()
        .route("/items/{id}", get(item))
        .route("/health", get(|| async { "up" }))
        .with_state(shop);
    let listener = TcpListener::bind(env::var("LISTEN")?).await?;
    Ok(axum::serve(listener, routes).await?)
}
