//! Signing keys in a hardware module, over PKCS#11.
//!
//! The private half never leaves the module. What it signs is verified with the public half before it is used: after a connection was
//! lost there may be another key under the same label. A module is loaded once in a process and logged in to once; sessions are pooled,
//! and one that fails is thrown away and everything is opened anew, once, before the failure is told.

use anyhow::{Context, bail, ensure};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use eim_core::pki::{Curve, PublicKey};
use eim_core::ports::{EimSigner, KEY_CHECK, SignerError};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A module is started anew at most so often.
const ANEW_EVERY: Duration = Duration::from_secs(10);
/// How long signing waits for a session before it fails.
const SESSION_WAIT: Duration = Duration::from_secs(10);

/// Where the PIN is read from when no file is named.
pub const PIN_VARIABLE: &str = "EIM_PKCS11_PIN";

/// The names of the two curves in DER, as CKA_EC_PARAMS has them.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const BRAINPOOL_P256R1: &[u8] = &[0x06, 0x09, 0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07];

/// Which token of which module.
#[derive(Debug, Clone)]
pub struct TokenOptions {
    /// The module: a shared library.
    pub module: PathBuf,
    /// The label of the token.
    pub token: String,
    /// A file with the PIN; else [`PIN_VARIABLE`] has it.
    pub pin_file: Option<PathBuf>,
    /// How many sessions are open at most.
    pub sessions: usize,
}

/// A token, with its sessions.
pub struct Token {
    options: TokenOptions,
    pin: AuthPin,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    link: Option<Link>,
    idle: Vec<Session>,
    open: usize,
    /// How many sessions somebody is using now, of whatever generation: the module must not be ended beside them.
    in_use: usize,
    /// Grows with every new connection; a session of an older one is not put back.
    generation: u64,
    /// The PIN was refused. It is not tried again: some modules lock themselves.
    is_refused: bool,
    /// When the module was last started anew.
    started_anew: Option<Instant>,
}

#[derive(Clone)]
struct Link {
    pkcs11: Pkcs11,
    slot: Slot,
}

impl Token {
    /// Connects and logs in.
    ///
    /// # Errors
    /// When the module, the token or the PIN is not there or not right. The PIN is never told.
    pub fn open(options: TokenOptions) -> anyhow::Result<Arc<Self>> {
        let pin = match &options.pin_file {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("pkcs11.pin_file: {} can't be read", path.display()))?,
            None => std::env::var(PIN_VARIABLE)
                .ok()
                .with_context(|| format!("the PIN is expected in pkcs11.pin_file or in the variable {PIN_VARIABLE}"))?,
        };
        let pin = AuthPin::from(pin.trim());
        let token = Arc::new(Self { options, pin, state: Mutex::default(), freed: Condvar::new() });
        token.with(|_| Ok(())).map_err(|error| anyhow::anyhow!("{}", told(&error))).with_context(|| {
            format!("the token {:?} of {} (pkcs11)", token.options.token, token.options.module.display())
        })?;
        Ok(token)
    }

    /// Runs something on a session; anew on a fresh connection when it failed.
    fn with<T>(&self, run: impl Fn(&Session) -> Result<T, Error>) -> Result<T, Error> {
        match self.once(&run) {
            Err((error, generation)) if may_be_lost(&error) => {
                tracing::warn!(error = told(&error), "a session of the hardware module failed; it is opened anew");
                self.disconnect(generation);
                self.once(&run).map_err(|(error, _)| error)
            }
            done => done.map_err(|(error, _)| error),
        }
    }

    fn once<T>(&self, run: &impl Fn(&Session) -> Result<T, Error>) -> Result<T, (Error, u64)> {
        let (session, generation) = self.take()?;
        let done = run(&session);
        let mut state = self.lock();
        state.in_use = state.in_use.saturating_sub(1);
        let is_good = done.as_ref().err().is_none_or(|error| !may_be_lost(error));
        match (state.generation == generation, is_good) {
            (true, true) => state.idle.push(session),
            (true, false) => {
                drop(session);
                state.open = state.open.saturating_sub(1);
            }
            (false, _) => drop(session),
        }
        self.freed.notify_one();
        done.map_err(|error| (error, generation))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<(Session, u64), (Error, u64)> {
        let mut state = self.lock();
        loop {
            if let Some(session) = state.idle.pop() {
                state.in_use += 1;
                return Ok((session, state.generation));
            }
            if state.open < self.options.sessions.max(1) {
                let generation = state.generation;
                let session = self.open_session(&mut state).map_err(|error| (error, generation))?;
                state.open += 1;
                state.in_use += 1;
                return Ok((session, state.generation));
            }
            let (woken, waited) = self.freed.wait_timeout(state, SESSION_WAIT).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if waited.timed_out() && state.idle.is_empty() {
                let error = Error::Pkcs11(RvError::SessionCount, Function::OpenSession);
                return Err((error, state.generation));
            }
        }
    }

    fn open_session(&self, state: &mut State) -> Result<Session, Error> {
        if state.is_refused {
            return Err(Error::Pkcs11(RvError::PinIncorrect, Function::Login));
        }
        let link = match &state.link {
            Some(link) => link.clone(),
            None => {
                let link = self.connect(state.in_use == 0)?;
                state.link = Some(link.clone());
                link
            }
        };
        let session = link.pkcs11.open_rw_session(link.slot)?;
        match session.login(UserType::User, Some(&self.pin)) {
            // Whoever logs in does so for all sessions of the process.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => {
                state.is_refused = is_about_pin(&error);
                Err(error)
            }
        }
    }

    /// Finds the token. Where it is not there the module is ended again, if `may_end` says that nobody uses it.
    fn connect(&self, may_end: bool) -> Result<Link, Error> {
        let pkcs11 = Pkcs11::new(&self.options.module)?;
        match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error),
        }
        for slot in pkcs11.get_slots_with_token()? {
            if pkcs11.get_token_info(slot)?.label().trim_end() == self.options.token {
                return Ok(Link { pkcs11, slot });
            }
        }
        // Some modules look for tokens only when they are initialized.
        if may_end && let Err(error) = pkcs11.finalize() {
            tracing::warn!(error = told(&error), "the hardware module could not be ended");
        }
        Err(Error::Pkcs11(RvError::TokenNotPresent, Function::GetTokenInfo))
    }

    /// Forgets the connection of this generation; the next use makes a new one.
    fn disconnect(&self, generation: u64) {
        let mut state = self.lock();
        if state.generation == generation {
            state.idle.clear();
            state.open = 0;
            state.link = None;
            state.generation += 1;
        }
    }

    /// Ends the module and forgets it, so that the next use looks for the token anew: some modules see what was taken away and came
    /// back only then. Not while a session is in use, be it of an earlier connection, which a module need not survive, and not again
    /// within some seconds. Gives whether it was done.
    #[doc(hidden)]
    pub fn start_anew(&self) -> bool {
        let mut state = self.lock();
        let is_early = state.started_anew.is_some_and(|at| at.elapsed() < ANEW_EVERY);
        if is_early || state.in_use > 0 {
            return false;
        }
        state.started_anew = Some(Instant::now());
        state.idle.clear();
        state.open = 0;
        state.generation += 1;
        if let Some(Err(error)) = state.link.take().map(|link| link.pkcs11.finalize()) {
            tracing::warn!(error = told(&error), "the hardware module could not be ended");
        }
        true
    }

    /// Has the connection forgotten while `meanwhile` runs on a session of it, as when another session of it failed, and tells whether
    /// that session still works afterwards. For tests of what may happen beside a call.
    #[doc(hidden)]
    pub fn outlives(&self, meanwhile: impl Fn()) -> bool {
        let used = self.once(&|session: &Session| {
            let generation = self.lock().generation;
            self.disconnect(generation);
            meanwhile();
            session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY)]).map(drop)
        });
        used.is_ok()
    }

    /// Ends all sessions of the process with the module, as it is when a module is restarted. For tests of the reconnection.
    #[doc(hidden)]
    pub fn lose_sessions(&self) {
        let link = self.lock().link.clone();
        if let Some(Err(error)) = link.map(|link| link.pkcs11.finalize()) {
            tracing::warn!(error = told(&error), "the module could not be ended");
        }
    }

    /// The signer with the key of this label.
    ///
    /// # Errors
    /// When there is no such key, or not one of the two curves.
    pub fn signer(self: &Arc<Self>, label: &str) -> anyhow::Result<Pkcs11Signer> {
        let found = self.with(|session| {
            let found = session.find_objects(&template(ObjectClass::PUBLIC_KEY, label))?;
            let Some(public) = found.first().filter(|_| found.len() == 1) else { return Ok((found.len(), vec![])) };
            Ok((1, session.get_attributes(*public, &[AttributeType::EcParams, AttributeType::EcPoint])?))
        });
        let (count, attributes) = found.map_err(|error| anyhow::anyhow!("{}", told(&error)))?;
        ensure!(count == 1, "the token has {count} EC keys with the label {label:?}; one is expected");
        let mut curve = None;
        let mut point = vec![];
        for attribute in attributes {
            match attribute {
                Attribute::EcParams(oid) if oid == P256 => curve = Some(Curve::P256),
                Attribute::EcParams(oid) if oid == BRAINPOOL_P256R1 => curve = Some(Curve::BrainpoolP256r1),
                Attribute::EcPoint(value) => point = value,
                _ => {}
            }
        }
        let curve = curve.with_context(|| format!("the key {label:?} is not on P-256 or brainpoolP256r1"))?;
        // The point stands in an OCTET STRING.
        let point = point.strip_prefix(&[0x04, 0x41]).unwrap_or(&point);
        let public = PublicKey::from_point(curve, point).with_context(|| format!("the key {label:?}"))?;
        let signer =
            Pkcs11Signer { token: Arc::clone(self), label: label.to_owned(), public_key: public.to_spki(), public };
        // A key that does not sign is found now and not when the first device polls.
        signer.sign(KEY_CHECK).with_context(|| format!("the key {label:?}"))?;
        Ok(signer)
    }

    /// Makes a key pair in the token that can't be taken out, and gives its signer.
    ///
    /// # Errors
    /// When the configuration can't name the label, there is one with this label already, or the module refuses.
    pub fn generate(self: &Arc<Self>, label: &str, curve: Curve) -> anyhow::Result<Pkcs11Signer> {
        let label = &super::label(label).map_err(anyhow::Error::msg)?;
        let oid = match curve {
            Curve::P256 => P256,
            Curve::BrainpoolP256r1 => BRAINPOOL_P256R1,
        };
        let is_there = self.with(|session| {
            let private = session.find_objects(&template(ObjectClass::PRIVATE_KEY, label))?;
            let public = session.find_objects(&template(ObjectClass::PUBLIC_KEY, label))?;
            Ok(!private.is_empty() || !public.is_empty())
        });
        if is_there.map_err(|error| anyhow::anyhow!("{}", told(&error)))? {
            bail!("the token has a key with the label {label:?} already");
        }
        let made = self.once(&|session: &Session| {
            let public = [
                Attribute::Token(true),
                Attribute::Private(false),
                Attribute::Verify(true),
                Attribute::EcParams(oid.to_vec()),
                Attribute::Label(label.as_bytes().to_vec()),
                Attribute::Id(label.as_bytes().to_vec()),
            ];
            let private = [
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Sign(true),
                Attribute::Label(label.as_bytes().to_vec()),
                Attribute::Id(label.as_bytes().to_vec()),
            ];
            session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).map(drop)
        });
        made.map_err(|(error, _)| anyhow::anyhow!("{}", told(&error))).context("the key could not be generated")?;
        self.signer(label)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A key in a token.
#[derive(Debug)]
pub struct Pkcs11Signer {
    token: Arc<Token>,
    label: String,
    public: PublicKey,
    public_key: Vec<u8>,
}

impl Pkcs11Signer {
    fn key(&self, session: &Session) -> Result<Option<ObjectHandle>, Error> {
        let found = session.find_objects(&template(ObjectClass::PRIVATE_KEY, &self.label))?;
        Ok(found.first().copied().filter(|_| found.len() == 1))
    }

    /// Runs something with the key; where it is not there, once more with the module started anew.
    fn on_key<T>(&self, run: impl Fn(&Session, ObjectHandle) -> Result<T, Error>) -> Result<T, SignerError> {
        let try_it = || {
            self.token.with(|session| match self.key(session)? {
                Some(key) => run(session, key).map(Some),
                None => Ok(None),
            })
        };
        let mut done = try_it();
        if matches!(done, Ok(None)) && self.token.start_anew() {
            done = try_it();
        }
        match done {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(SignerError(format!("the token has no key with the label {:?} any more", self.label))),
            Err(error) => Err(SignerError(format!("the hardware module: {}", told(&error)))),
        }
    }
}

impl EimSigner for Pkcs11Signer {
    fn sign(&self, octets: &[u8]) -> Result<[u8; 64], SignerError> {
        let digest = sha256(octets);
        let label = &self.label;
        let value = self.on_key(|session, key| session.sign(&Mechanism::Ecdsa, key, &digest))?;
        let value: [u8; 64] = value
            .try_into()
            .map_err(|_| SignerError("the hardware module gave a value of another length".to_owned()))?;
        if self.public.verify(octets, &value).is_err() {
            return Err(SignerError(format!("what the key {label:?} signs does not verify: it is another key")));
        }
        Ok(value)
    }

    fn look(&self) -> Result<(), SignerError> {
        self.on_key(|_, _| Ok(()))
    }

    fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn blocks(&self) -> bool {
        true
    }
}

fn sha256(octets: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, octets).as_ref().to_vec()
}

fn template(class: ObjectClass, label: &str) -> [Attribute; 3] {
    [Attribute::Class(class), Attribute::KeyType(KeyType::EC), Attribute::Label(label.as_bytes().to_vec())]
}

/// Whether a failure may be over with a new connection.
fn may_be_lost(error: &Error) -> bool {
    !is_about_pin(error)
        && !matches!(
            error,
            Error::Pkcs11(
                RvError::TokenNotPresent
                    | RvError::SessionCount
                    | RvError::MechanismInvalid
                    | RvError::AttributeValueInvalid
                    | RvError::CurveNotSupported,
                _
            ) | Error::LibraryLoading(_)
        )
}

const fn is_about_pin(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::PinIncorrect
                | RvError::PinLocked
                | RvError::PinExpired
                | RvError::PinInvalid
                | RvError::PinLenRange,
            _
        )
    )
}

/// The failure in words.
fn told(error: &Error) -> String {
    error.to_string()
}
