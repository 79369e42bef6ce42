//! The JSON forms of what the chain knows: used by the HTTP interface, by its client, by exports and by `--json`.
//!
//! They are a promise to other programs, so they are apart from the types that the node works with.

mod account;
mod event;
mod found;
mod health;
mod hex;
mod history;
mod miners;
mod network;
mod params;
mod share;
mod signals;
mod view;

pub use crate::refused::Refused as RefusedForm;
pub use account::{
    AccountForm, CoinbaseState, CreditForm, ExpectedForm, OwnerPaymentsForm, PaidForm, PaymentForm,
    PaymentLine, PaymentsForm, PoolForm, RecentForm,
};
pub use event::EventForm;
pub use found::{FoundBlockForm, FoundForm};
pub use health::{BitcoindForm, BitcoindsForm, HealthForm, HealthItem, Level, TemplateForm};
pub use hex::{AnyBytes, Bits, Bytes, Text};
pub use history::{BestForm, HistoryForm, PointForm, SeriesForm, SeriesListForm};
pub use miners::{FeeForm, MinersForm, WorkerForm};
pub use network::{
    BanForm, BanRequestForm, BannedForm, BansForm, ConnectForm, ConnectingForm, LiftForm, LiftedForm,
    PeerForm, PeersForm, StoppingForm,
};
pub use params::{FirstBlockForm, ParamsForm, ParamsFormError};
pub use share::{BlockForm, CommitmentForm, FormError, HeaderForm, LinkForm, ShareForm};
pub use signals::{SignalForm, SignalsForm};
pub use view::{
    BitcoinForm, BlockLine, BlocksForm, ErrorForm, OutputForm, OutputKind, OwnerForm, PartForm, PayoutsForm,
    PlaceForm, ShownForm, TipForm, WindowForm, blocks_of,
};
