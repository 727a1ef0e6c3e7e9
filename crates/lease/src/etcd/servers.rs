//! The servers of a cluster, and calls to the one that is in use.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use steadfast_core::{Executed, parts::lock};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::{
    address::{self, Address, User},
    api::{self, Answer},
    failure::Failure,
    wire::Writer,
};
use crate::StoreError;

/// A server that is slower to accept a connection is down.
pub(super) const CONNECT: Duration = Duration::from_secs(2);
/// How often a connection with calls under way is tried.
pub(super) const PING: Duration = Duration::from_secs(10);
/// A call that is given up later than this makes its server suspect: etcd answers in a tenth of it.
/// Earlier the caller had something else to do.
const PATIENCE: Duration = Duration::from_millis(100);

/// One server after the other is used: the next when the one before fails, or leaves a call
/// without an answer. A server that stands still never ends a call by itself.
pub(super) struct Servers {
    reached: Reached,
    user: Option<User>,
    /// No panic leaves it half changed: nothing foreign runs under it.
    state: Mutex<State>,
}

/// By what servers are reached.
enum Reached {
    /// Each by connections of the store's own.
    Servers(Vec<Endpoint>),
    /// By the program's channel, whose business it is which server that is.
    Channel(Channel),
}

impl Reached {
    fn count(&self) -> usize {
        match self {
            Self::Servers(endpoints) => endpoints.len(),
            Self::Channel(_) => 1,
        }
    }

    fn channel(&self, turn: usize) -> Channel {
        match self {
            Self::Servers(endpoints) => endpoints[turn % endpoints.len()].connect_lazy(),
            Self::Channel(channel) => channel.clone(),
        }
    }
}

#[derive(Default)]
struct State {
    /// How many times a server was left: it says which one is in use.
    turn: usize,
    /// None before the first call of a turn.
    channel: Option<Channel>,
    token: Option<MetadataValue<Ascii>>,
    /// Held by the one caller that asks the server of this turn for a token.
    entering: Arc<AsyncMutex<()>>,
}

/// The way to the server in use.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) turn: usize,
    channel: Channel,
    token: Option<MetadataValue<Ascii>>,
}

impl Servers {
    pub(super) fn new(address: Address) -> Result<Arc<Self>, StoreError> {
        let Address { servers, user, is_secure } = address;
        let endpoints = servers.into_iter().map(|server| address::endpoint(server, is_secure));
        let reached = Reached::Servers(endpoints.collect::<Result<_, _>>()?);
        Ok(Arc::new(Self { reached, user, state: Mutex::default() }))
    }

    pub(super) fn by(channel: Channel) -> Arc<Self> {
        let (reached, state) = (Reached::Channel(channel), Mutex::default());
        Arc::new(Self { reached, user: None, state })
    }

    pub(super) fn count(&self) -> usize {
        self.reached.count()
    }

    /// One call, and again on the other servers as long as it has not left.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(super) async fn call<A: Answer>(
        &self,
        path: &'static str,
        request: Writer,
    ) -> Result<A, CallError> {
        let message = request.finish();
        let (mut tries, mut has_new_token) = (1, false);
        loop {
            let way = self.way().await?;
            match self.once(&way, path, message.clone()).await {
                Ok(answer) => return A::parse(answer).map_err(CallError::Malformed),
                Err(failure)
                    if self.user.is_some() && !has_new_token && failure.is_stale_token() =>
                {
                    has_new_token = true;
                    self.forget_token(&way);
                }
                Err(failure) => {
                    if failure.is_of_server() {
                        self.leave(way.turn);
                    }
                    if !failure.is_unsent() || tries >= self.count() {
                        return Err(failure.into());
                    }
                    tries += 1;
                }
            }
        }
    }

    async fn once(&self, way: &Way, path: &'static str, message: Bytes) -> Result<Bytes, Failure> {
        let mut out = self.out(way.turn);
        let mut grpc = way.grpc().await?;
        let answer = grpc.unary(way.request(message), PathAndQuery::from_static(path), Raw).await;
        out.is_answered = true;
        Ok(answer?.into_inner())
    }

    /// The way to the server in use, with a token if there is a user.
    pub(super) async fn way(&self) -> Result<Way, Failure> {
        let way = self.known_way();
        let Some(user) = self.user.as_ref().filter(|_| way.token.is_none()) else { return Ok(way) };
        // One caller asks, and the others wait for what it is told: a server works for a tenth of a
        // second on each password, and a token that is forgotten is so for all leases at once.
        let entering = Arc::clone(&lock(&self.state).entering);
        let mut out = self.out(way.turn);
        let _entering = entering.lock().await;
        out.is_answered = true;
        let way = self.known_way();
        if way.token.is_some() { Ok(way) } else { self.let_in(way, user).await }
    }

    fn known_way(&self) -> Way {
        let mut state = lock(&self.state);
        let turn = state.turn;
        let channel = state.channel.get_or_insert_with(|| self.reached.channel(turn)).clone();
        Way { turn, channel, token: state.token.clone() }
    }

    async fn let_in(&self, way: Way, user: &User) -> Result<Way, Failure> {
        let request = api::authenticate(&user.name, &user.password).finish();
        let answer = self.once(&way, api::AUTHENTICATE, request).await;
        let answer = answer.inspect_err(|failure| {
            if failure.is_of_server() {
                self.leave(way.turn);
            }
        })?;
        let token = api::Authenticated::parse(answer).map_err(|_| Failure::unanswered())?.token;
        let token = MetadataValue::try_from(&token[..]);
        let mut token: MetadataValue<Ascii> = token.map_err(|_| Failure::unanswered())?;
        token.set_sensitive(true);
        lock(&self.state).token = Some(token.clone());
        Ok(Way { token: Some(token), ..way })
    }

    /// Has the next call get a token, unless another has got one since.
    pub(super) fn forget_token(&self, way: &Way) {
        let mut state = lock(&self.state);
        if state.token == way.token {
            state.token = None;
        }
    }

    /// Uses the next server, if the one of this turn is still in use. With one server its
    /// connection is made anew; a channel of the program's is used again.
    pub(super) fn leave(&self, turn: usize) {
        let mut state = lock(&self.state);
        if state.turn == turn {
            state.turn = turn.wrapping_add(1);
            // Dropped outside of the lock.
            let channel = state.channel.take();
            state.entering = Arc::default();
            drop(state);
            drop(channel);
        }
    }

    /// Has the server left if this is dropped without an answer, and not at once.
    pub(super) fn out(&self, turn: usize) -> Out<'_> {
        Out { servers: self, turn, sent: now(), is_answered: false }
    }
}

impl Way {
    async fn grpc(&self) -> Result<Grpc<Channel>, Failure> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        Ok(grpc)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }

    /// A stream in both directions. The first message must be there: etcd says nothing before it.
    pub(super) async fn stream(
        &self,
        path: &'static str,
        messages: impl futures_util::Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Streaming<Bytes>, Failure> {
        let mut grpc = self.grpc().await?;
        let path = PathAndQuery::from_static(path);
        Ok(grpc.streaming(self.request(messages), path, Raw).await?.into_inner())
    }
}

/// A call that is out.
pub(super) struct Out<'a> {
    servers: &'a Servers,
    turn: usize,
    sent: Instant,
    pub(super) is_answered: bool,
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        if !self.is_answered && now().duration_since(self.sent) >= PATIENCE {
            self.servers.leave(self.turn);
        }
    }
}

pub(super) fn now() -> Instant {
    Instant::now()
}

/// Why a call has no answer that can be used.
#[derive(Debug)]
pub(super) enum CallError {
    Failed(Failure),
    Malformed(super::wire::Malformed),
}

impl CallError {
    pub(super) fn is_no_lease(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.is_no_lease())
    }

    /// Of a call that prepares the operation, or only reads: that was not executed.
    pub(super) fn before(self) -> StoreError {
        StoreError::from(self).executed_as(Executed::No)
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<CallError> for StoreError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Failed(failure) => failure.into(),
            CallError::Malformed(error) => {
                Self::corrupt().executed_as(Executed::Maybe).because(error)
            }
        }
    }
}

/// Messages as they are: `api` reads and writes them.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.reserve(message.len());
        to.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
