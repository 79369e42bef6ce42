//! A peer that breaks the protocol below the messages: its answers do not end, or do not come.
//!
//! It speaks libp2p by itself, so that nothing in the node's own network code can keep it from being rude.

use crate::attacker::is_tip;
use crate::victim::Victim;
use commonwork::peers::wire::TipAnswer;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::request_response::{self, Codec, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, StreamProtocol, Swarm, SwarmBuilder, identify, noise, tcp, yamux};
use sharechain::codec::Encode;
use sharechain::share::ShareId;
use sharechain::target::Work;
use sharechain::units::Height;
use std::io;
use std::time::Duration;

/// How it answers whatever is not the question where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Announces four gigabytes and sends for as long as it is read: ten gigabytes, if somebody took them.
    Endless,
    /// Announces no more than it may and sends a byte a second.
    Drip,
    /// Sends nothing and keeps the stream open.
    Silent,
}

/// The peer.
pub(crate) struct Evil {
    swarm: Swarm<Behaviour>,
    claims: u32,
    /// Questions that it was rude to.
    pub(crate) asked: u32,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ask: request_response::Behaviour<EvilCodec>,
}

#[derive(Clone)]
struct EvilCodec(Manner);

impl Evil {
    /// Dials the victim and claims a chain far heavier than its own.
    pub(crate) fn at(victim: &Victim, manner: Manner) -> Self {
        let chain = victim.params.chain_id();
        let prologue = format!("/commonwork/{chain}/noise").into_bytes();
        let ask = StreamProtocol::try_from_owned(format!("/commonwork/{chain}/ask/1")).expect("a name");
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(
                tcp::Config::default(),
                move |pair: &libp2p::identity::Keypair| {
                    noise::Config::new(pair).map(|noise| noise.with_prologue(prologue))
                },
                yamux::Config::default,
            )
            .expect("transports")
            .with_behaviour(|pair| Behaviour {
                identify: identify::Behaviour::new(identify::Config::new(
                    format!("/commonwork/{chain}/1"),
                    pair.public(),
                )),
                ask: request_response::Behaviour::with_codec(
                    EvilCodec(manner),
                    [(ask, ProtocolSupport::Full)],
                    request_response::Config::default().with_request_timeout(Duration::from_secs(600)),
                ),
            })
            .expect("a behaviour")
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
            .build();
        let address: Multiaddr = victim.address().parse().expect("an address");
        swarm.dial(address).expect("dialed");
        Self { swarm, claims: 0, asked: 0 }
    }

    /// Another tip each time, far above the victim's.
    fn claim(&mut self) -> Vec<u8> {
        self.claims += 1;
        let id = ShareId(core::array::from_fn(|at| self.claims.to_le_bytes()[at % 4] ^ 0xee));
        let work = Work(u64::MAX.into());
        TipAnswer { id, height: Height(5_000), recent_work: work, work }.to_bytes()
    }

    /// Lives until the victim ends the connection.
    pub(crate) async fn until_sent_away(&mut self) {
        loop {
            match self.swarm.select_next_some().await {
                SwarmEvent::ConnectionClosed { num_established: 0, .. } => return,
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("not let in: {error}"),
                SwarmEvent::Behaviour(BehaviourEvent::Ask(request_response::Event::Message {
                    message: request_response::Message::Request { request, channel, .. },
                    ..
                })) => {
                    let answer = is_tip(&request).then(|| self.claim());
                    self.asked += u32::from(answer.is_none());
                    let _ = self.swarm.behaviour_mut().ask.send_response(channel, answer);
                }
                _ => {}
            }
        }
    }
}

impl Codec for EvilCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    /// What is said decently; none is rude.
    type Response = Option<Vec<u8>>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        io.read_exact(&mut length).await?;
        let mut bytes = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("64 bits").min(1 << 20)];
        io.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        _: &mut T,
    ) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        _: &mut T,
        _: Vec<u8>,
    ) -> io::Result<()> {
        Ok(())
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Option<Vec<u8>>,
    ) -> io::Result<()> {
        if let Some(bytes) = answer {
            io.write_all(&u32::try_from(bytes.len()).expect("short").to_be_bytes()).await?;
            io.write_all(&bytes).await?;
            return io.close().await;
        }
        match self.0 {
            Manner::Endless => {
                io.write_all(&u32::MAX.to_be_bytes()).await?;
                let junk = vec![0x5a; 64 << 10];
                for _ in 0..(10_u64 << 30) / (64 << 10) {
                    io.write_all(&junk).await?;
                }
            }
            Manner::Drip => {
                io.write_all(&100_000_u32.to_be_bytes()).await?;
                for _ in 0..600 {
                    io.write_all(&[0]).await?;
                    io.flush().await?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            Manner::Silent => tokio::time::sleep(Duration::from_secs(600)).await,
        }
        Ok(())
    }
}
