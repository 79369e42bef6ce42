//! Miners that speak Stratum V2 over real sockets: a client on the reference implementation's crates, with byte orders
//! of its own, against the server and against the whole program.

mod limits;
mod mining;
mod program;
mod reference;
mod solo;

use crate::support::server::{self as support, World, soon};
use bitcoin::hashes::{Hash, sha256d};
use codec_sv2::{
    Decoded, Decrypted, Handshake, InitiatorSent, MessageFrame, NoiseDecoder, NoiseEncoder,
    TransportDecryptState, TransportEncryptState,
};
use common_messages_sv2::{Protocol, SetupConnectionOwned};
use commonwork::stratum::device::PayoutClasses;
use commonwork::stratum::gate::Gate;
use commonwork::stratum::seats::Seats;
use commonwork::stratum::server::Limits;
use commonwork::stratum_v2::authority::Authority;
use commonwork::stratum_v2::server::{self, Server};
use commonwork::stratum_v2::session::SessionConfig;
use commonwork::work::job::{Candidate, JobIds};
use ipnet::IpNet;
use mining_sv2::{
    NewExtendedMiningJobOwned, NewMiningJobOwned, OpenExtendedMiningChannelOwned,
    OpenStandardMiningChannelOwned, SetNewPrevHashOwned, SubmitSharesExtendedOwned,
    SubmitSharesStandardOwned,
};
use noise_sv2::Initiator;
use parsers_sv2::{CommonMessages, CommonMessagesOwned, Mining, MiningOwned};
use sharechain::params::Network;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// How a server is to be.
struct Setup {
    limits: Limits,
    most_connections: usize,
    share_queue: usize,
    /// Proxies that it believes.
    proxies: Vec<IpNet>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { limits: Limits::default(), most_connections: 100, share_queue: 10_000, proxies: Vec::new() }
    }
}

/// A server at work, and the key that it is known by.
struct Running {
    server: support::Running,
    authority: Authority,
}

impl Deref for Running {
    type Target = support::Running;

    fn deref(&self) -> &Self::Target {
        &self.server
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.server
    }
}

impl Setup {
    fn start(self) -> Running {
        let listener = server::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let authority = Authority::generate().expect("a key");
        let config = SessionConfig {
            network: Network::Regtest,
            default_owner: Some(crate::support::jobs::owner(1)),
            classes: PayoutClasses::new(&[11, 38, 145, 360], []),
            ids: Arc::new(JobIds::starting_at(0x8000_0000)),
            fee: None,
        };
        let (key, limits) = (authority.clone(), self.limits);
        let connections = Seats::new(self.most_connections);
        let gate = Gate::new(&self.proxies);
        let world = World { share_queue: self.share_queue, gate, ..World::default() };
        let server = world.start(address, |house, shutdown| {
            let server = Server { config: Arc::new(config), authority: key, house, connections, limits };
            server.run(vec![listener], shutdown)
        });
        Running { server, authority }
    }
}

impl Running {
    /// Connected, with the connection set up.
    async fn client(&self, flags: u32) -> Client {
        let mut client =
            Client::connect(self.address, Some(*self.authority.public())).await.expect("connected");
        client.set_up(flags).await;
        client
    }

    /// Ends the server, and with it everything that waits for its shares.
    async fn stop(self) -> mpsc::Receiver<Candidate> {
        self.server.stop().await
    }
}

/// What a server said.
#[derive(Debug)]
enum Said {
    Common(CommonMessagesOwned),
    Mining(MiningOwned),
}

/// A client that says what a test wants.
struct Client {
    stream: TcpStream,
    decoder: NoiseDecoder,
    encoder: NoiseEncoder,
    encrypt: TransportEncryptState,
    decrypt: Option<TransportDecryptState>,
}

impl Client {
    /// Shakes hands with a server that is to have this key, or any.
    async fn connect(address: SocketAddr, key: Option<[u8; 32]>) -> Result<Self, codec_sv2::Error> {
        Self::over(soon(TcpStream::connect(address)).await.expect("a connection"), key).await
    }

    /// The same over a connection that is there.
    async fn over(mut stream: TcpStream, key: Option<[u8; 32]>) -> Result<Self, codec_sv2::Error> {
        let role = match key {
            Some(key) => Initiator::from_raw_k(key).expect("a key"),
            None => Initiator::without_pk().expect("ready"),
        };
        let (hello, waiting) = Handshake::initiator(role).step_0()?;
        let (mut decoder, mut encoder) = (NoiseDecoder::new(), NoiseEncoder::new());
        stream.write_all(encoder.encode_handshake(hello).as_ref()).await.expect("written");
        let answer = loop {
            match decoder.next_handshake_frame::<InitiatorSent>()? {
                Decoded::Frame(frame) => break frame,
                Decoded::Incomplete(_) => {
                    soon(stream.read_exact(decoder.writable())).await.expect("an answer");
                }
            }
        };
        let answer = answer.payload().try_into().expect("its length");
        let (encrypt, decrypt) = waiting.step_2(answer)?.split();
        Ok(Self { stream, decoder, encoder, encrypt, decrypt: Some(decrypt) })
    }

    /// The same, but none when the server hangs up.
    async fn connect_quietly(address: SocketAddr) -> Option<()> {
        let mut stream = soon(TcpStream::connect(address)).await.expect("a connection");
        let (hello, _) =
            Handshake::initiator(Initiator::without_pk().expect("ready")).step_0().expect("ready");
        stream.write_all(hello.payload()).await.ok()?;
        soon(stream.read_u8()).await.ok().map(drop)
    }

    async fn set_up(&mut self, flags: u32) {
        self.say_common(CommonMessagesOwned::SetupConnection(setup(flags))).await;
        let said = self.hear().await;
        assert!(matches!(said, Said::Common(CommonMessagesOwned::SetupConnectionSuccess(_))), "{said:?}");
    }

    async fn say_common(&mut self, message: CommonMessagesOwned) {
        let frame = MessageFrame::try_from(message).expect("a frame");
        let sealed = self.encoder.encode_transport(frame, &mut self.encrypt).expect("sealed");
        self.stream.write_all(&sealed).await.expect("written");
    }

    async fn say(&mut self, message: MiningOwned) {
        let frame = MessageFrame::try_from(message).expect("a frame");
        let sealed = self.encoder.encode_transport(frame, &mut self.encrypt).expect("sealed");
        self.stream.write_all(&sealed).await.expect("written");
    }

    /// The next message, or none when the server has hung up.
    async fn next(&mut self) -> Option<Said> {
        loop {
            let decrypt = self.decrypt.take().expect("not broken");
            match self.decoder.next_transport_frame(decrypt).expect("decrypts") {
                Decrypted::Frame(mut frame, decrypt) => {
                    self.decrypt = Some(decrypt);
                    let kind = frame.header().msg_type();
                    return Some(match kind {
                        0..=4 => Said::Common(
                            CommonMessages::try_from((kind, frame.payload())).expect("known").into_owned(),
                        ),
                        _ => Said::Mining(
                            Mining::try_from((kind, frame.payload())).expect("known").into_owned(),
                        ),
                    });
                }
                Decrypted::Incomplete(_, decrypt) => {
                    self.decrypt = Some(decrypt);
                    soon(self.stream.read_exact(self.decoder.writable())).await.ok()?;
                }
            }
        }
    }

    async fn hear(&mut self) -> Said {
        self.next().await.expect("a message")
    }

    /// Opens a header-only channel and waits for its first work.
    async fn standard(&mut self, user: &str) -> Channel {
        let mut channel = self.open(false, user).await;
        channel.until_work(self).await;
        channel
    }

    /// Opens a channel that counts its own extranonce, and waits for its first work.
    async fn extended(&mut self, user: &str) -> Channel {
        let mut channel = self.open(true, user).await;
        channel.until_work(self).await;
        channel
    }

    /// Opens a channel.
    async fn open(&mut self, extended: bool, user: &str) -> Channel {
        let user_identity = user.as_bytes().try_into().expect("short");
        let (nominal_hash_rate, max_target) = (1.0, [0xff; 32].into());
        self.say(if extended {
            MiningOwned::OpenExtendedMiningChannel(OpenExtendedMiningChannelOwned {
                request_id: 6,
                user_identity,
                nominal_hash_rate,
                max_target,
                min_extranonce_size: 2,
            })
        } else {
            MiningOwned::OpenStandardMiningChannel(OpenStandardMiningChannelOwned {
                request_id: 5,
                user_identity,
                nominal_hash_rate,
                max_target,
            })
        })
        .await;
        loop {
            return match self.hear().await {
                Said::Mining(MiningOwned::OpenStandardMiningChannelSuccess(ok)) => {
                    let prefix = ok.extranonce_prefix.to_owned_bytes();
                    Channel::new(ok.channel_id, ok.target.to_array(), prefix, 0)
                }
                Said::Mining(MiningOwned::OpenExtendedMiningChannelSuccess(ok)) => {
                    let prefix = ok.extranonce_prefix.to_owned_bytes();
                    Channel::new(ok.channel_id, ok.target.to_array(), prefix, ok.extranonce_size.into())
                }
                said => {
                    assert!(is_work(&said), "{said:?}");
                    continue;
                }
            };
        }
    }
}

fn setup(flags: u32) -> SetupConnectionOwned {
    let text = |text: &str| text.as_bytes().try_into().expect("short");
    SetupConnectionOwned {
        protocol: Protocol::MiningProtocol,
        min_version: 2,
        max_version: 2,
        flags,
        endpoint_host: text("127.0.0.1"),
        endpoint_port: 34254,
        vendor: text("test"),
        hardware_version: text("1"),
        firmware: text("2"),
        device_id: text("three"),
    }
}

/// Whether it is a job, or belongs to one.
fn is_work(said: &Said) -> bool {
    matches!(
        said,
        Said::Mining(
            MiningOwned::NewMiningJob(_)
                | MiningOwned::NewExtendedMiningJob(_)
                | MiningOwned::SetNewPrevHash(_)
                | MiningOwned::SetTarget(_)
        )
    )
}

/// What a miner knows of its work, from nothing but messages.
#[derive(Debug)]
struct Channel {
    id: u32,
    /// Little-endian, as messages have it.
    target: [u8; 32],
    prefix: Vec<u8>,
    rolled: usize,
    header_job: Option<NewMiningJobOwned>,
    extended_job: Option<NewExtendedMiningJobOwned>,
    tip: Option<SetNewPrevHashOwned>,
    sequence: u32,
}

/// Work that meets the target.
#[derive(Clone, Debug)]
struct Solved {
    hash: [u8; 32],
    submit: MiningOwned,
}

impl Channel {
    fn new(id: u32, target: [u8; 32], prefix: Vec<u8>, rolled: usize) -> Self {
        Self { id, target, prefix, rolled, header_job: None, extended_job: None, tip: None, sequence: 0 }
    }

    /// Follows what the server says of this channel's work; what is no work is given back.
    fn follow(&mut self, said: Said) -> Option<Said> {
        match said {
            Said::Mining(MiningOwned::NewMiningJob(job)) if job.channel_id == self.id => {
                self.header_job = Some(job);
            }
            Said::Mining(MiningOwned::NewExtendedMiningJob(job)) if job.channel_id == self.id => {
                self.extended_job = Some(job);
            }
            Said::Mining(MiningOwned::SetNewPrevHash(tip)) if tip.channel_id == self.id => {
                self.tip = Some(tip)
            }
            Said::Mining(MiningOwned::SetTarget(set)) if set.channel_id == self.id => {
                self.target = set.maximum_target.to_array();
            }
            // Another channel's.
            said if is_work(&said) => {}
            other => return Some(other),
        }
        None
    }

    async fn until_work(&mut self, client: &mut Client) {
        while self.tip.is_none() {
            let said = client.hear().await;
            assert!(self.follow(said).is_none());
        }
    }

    /// Follows until the server answers a submit.
    async fn answer(&mut self, client: &mut Client) -> Said {
        loop {
            let said = client.hear().await;
            if let Some(other) = self.follow(said) {
                return other;
            }
        }
    }

    /// Hashes, beginning with this nonce, until a header meets the target.
    fn solve(&mut self, first: u32) -> Solved {
        let tip = self.tip.clone().expect("work");
        let rolled = vec![0x5a; self.rolled];
        let (job_id, version, root, time) = match (&self.header_job, &self.extended_job) {
            (Some(job), _) => {
                let time = job.min_ntime.clone().into_inner();
                (job.job_id, job.version, job.merkle_root.to_array(), time)
            }
            (None, Some(job)) => {
                let time = job.min_ntime.clone().into_inner();
                (job.job_id, job.version, self.root(job, &rolled), time)
            }
            _ => panic!("no job"),
        };
        let time = time.unwrap_or(tip.min_ntime);
        let mut header = Vec::new();
        header.extend_from_slice(&version.to_le_bytes());
        header.extend_from_slice(tip.prev_hash.as_bytes());
        header.extend_from_slice(&root);
        header.extend_from_slice(&time.to_le_bytes());
        header.extend_from_slice(&tip.nbits.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        for nonce in first.. {
            header[76..].copy_from_slice(&nonce.to_le_bytes());
            let hash = sha256d::Hash::hash(&header).to_byte_array();
            if hash.iter().rev().le(self.target.iter().rev()) {
                self.sequence += 1;
                let submit = self.submit(job_id, nonce, time, version, &rolled);
                return Solved { hash, submit };
            }
        }
        panic!("no nonce will do")
    }

    fn submit(&self, job_id: u32, nonce: u32, ntime: u32, version: u32, rolled: &[u8]) -> MiningOwned {
        let (channel_id, sequence_number) = (self.id, self.sequence);
        if self.rolled == 0 {
            return MiningOwned::SubmitSharesStandard(SubmitSharesStandardOwned {
                channel_id,
                sequence_number,
                job_id,
                nonce,
                ntime,
                version,
            });
        }
        MiningOwned::SubmitSharesExtended(SubmitSharesExtendedOwned {
            channel_id,
            sequence_number,
            job_id,
            nonce,
            ntime,
            version,
            extranonce: rolled.try_into().expect("short"),
        })
    }

    fn root(&self, job: &NewExtendedMiningJobOwned, rolled: &[u8]) -> [u8; 32] {
        let parts =
            [job.coinbase_tx_prefix.as_bytes(), &self.prefix, rolled, job.coinbase_tx_suffix.as_bytes()];
        let mut root = sha256d::Hash::hash(&parts.concat()).to_byte_array();
        for right in job.merkle_path.iter() {
            root = sha256d::Hash::hash(&[&root[..], right.as_bytes()].concat()).to_byte_array();
        }
        root
    }
}
