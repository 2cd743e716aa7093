//! Objects of S3 and of servers that speak its protocol.

mod credentials;
mod multipart;
mod part;
mod profile;
mod refusal;
mod service;
mod signature;
mod target;
mod xml;

pub use multipart::UploadedPart;
pub use part::{Body, LEAST_PART, MOST_PART, MOST_PARTS, Part, PartSizes, Store, Summed};
pub use refusal::Failed;
pub use service::{Found, Given, MEMORY, Service, Settings};
pub use signature::hex;
pub use target::{Name, Style};
