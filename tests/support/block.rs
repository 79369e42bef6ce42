//! Blocks built by hand from a template, with the `bitcoin` crate's own types rather than the node's builder.

use bitcoin::{
    Amount, Block, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Witness, absolute,
    block, consensus::deserialize, hashes::Hash as _, merkle_tree, opcodes::all::OP_RETURN, script,
    transaction,
};
use commonwork::bitcoin::Template;

/// A block on this template that pays everything to OP_TRUE, not yet mined. Different extras make different blocks.
pub(crate) fn unsolved(template: &Template, extra: &[u8]) -> Block {
    let height = i64::from(template.height.0);
    let commitment = [&[0xaa, 0x21, 0xa9, 0xed][..], &template.witness_commitment()].concat();
    let commitment = <&script::PushBytes>::try_from(&commitment[..]).expect("36 bytes");
    let push = <&script::PushBytes>::try_from(extra).expect("a short extra");
    let output = |value, script_pubkey| TxOut { value: Amount::from_sat(value), script_pubkey };
    let coinbase = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            // The push of a number is OP_1 to OP_16 up to 16, as BIP34's rule wants it.
            script_sig: script::Builder::new().push_int(height).push_slice(push).into_script(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0; 32]]),
        }],
        output: vec![
            output(template.coinbase_value, ScriptBuf::from_bytes(vec![0x51])),
            output(0, script::Builder::new().push_opcode(OP_RETURN).push_slice(commitment).into_script()),
        ],
    };
    let others =
        template.transactions.iter().map(|tx| deserialize(&tx.raw).expect("the template's transaction"));
    let txdata: Vec<Transaction> = std::iter::once(coinbase).chain(others).collect();
    let header = block::Header {
        version: block::Version::from_consensus(template.version),
        prev_blockhash: template.prev_block,
        merkle_root: TxMerkleNode::all_zeros(),
        time: template.current_time.max(template.min_time),
        bits: template.bits,
        nonce: 0,
    };
    let mut block = Block { header, txdata };
    block.header.merkle_root = merkle_root(&block);
    block
}

/// A mined block on this template.
pub(crate) fn solved(template: &Template, extra: &[u8]) -> Block {
    solve(unsolved(template, extra))
}

/// Mines a block; its merkle root is taken as it is.
pub(crate) fn solve(mut block: Block) -> Block {
    let target = block.header.target();
    while !target.is_met_by(block.header.block_hash()) {
        block.header.nonce = block.header.nonce.checked_add(1).expect("a nonce, at a test's difficulty");
    }
    block
}

/// The root of the block's transactions.
pub(crate) fn merkle_root(block: &Block) -> TxMerkleNode {
    let ids = block.txdata.iter().map(|tx| TxMerkleNode::from_raw_hash(tx.compute_txid().into()));
    merkle_tree::calculate_root(ids).expect("a coinbase")
}
