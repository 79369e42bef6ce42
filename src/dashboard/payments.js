// What Bitcoin blocks of the pool paid the owners that this node works for, and from when it may be spent.

import { field, maybe } from "./api.js";
import { longTable, make, note, table } from "./dom.js";
import { amount, height, many } from "./format.js";
import { Section } from "./section.js";
import { STATES, code, owner, shown, when } from "./shown.js";

const MOST = 20;
const OWNERS = [
  { title: "Owner" }, { title: "Worked here last" }, { title: "May be spent", number: true },
  { title: "Not to be spent yet", number: true }, { title: "Not in Bitcoin's chain yet", number: true }, { title: "Lost", number: true },
];
const PAYMENTS = [
  { title: "Bitcoin height", number: true }, { title: "Found" }, { title: "Owner" }, { title: "Amount", number: true },
  { title: "State" }, { title: "To be spent from height", number: true }, { title: "Transaction" },
];

function ownersTable(answer) {
  const rows = answer.data.owners.map((one, index) => {
    const of = (name) => field(answer, "owners", index, name);
    return [owner(one.owner.address, `paid-${one.owner.address}`), when(of("worked")), shown(of("spendable_satoshis"), amount),
      shown(of("immature_satoshis"), amount), shown(of("waiting_satoshis"), amount), shown(of("lost_satoshis"), amount)];
  });
  return table("Paid in all, by owner", OWNERS, rows);
}

function paymentsTable(answer) {
  const rows = answer.data.payments.map((payment, index) => {
    const of = (name) => field(answer, "payments", index, name);
    return [shown(of("bitcoin_height"), height), when(of("time")), owner(payment.owner.address, `payment-${payment.hash}-${index}`),
      shown(of("satoshis"), amount), STATES.get(payment.state) ?? payment.state,
      shown(of("spendable_at_bitcoin_height"), height), code(payment.txid)];
  });
  return [
    make("p", {}, shown(field(answer, "total"), (value) => many(value, "payment")), ", of which the newest are below; a coinbase may be spent "
      + "when it has 100 confirmations."),
    ...longTable("older-payments", "Payments", PAYMENTS, rows),
  ];
}

function show(answer) {
  if (answer.data === null) return [note(`Nothing to show: ${answer.why}.`)];
  const { owners, payments } = answer.data;
  if (owners.length === 0) return [note("Nobody has mined here yet for whom payments could be told.")];
  return [ownersTable(answer), ...(payments.length > 0 ? paymentsTable(answer) : [note("No Bitcoin block has paid them yet.")])];
}

/** The section. */
export function payments() {
  return new Section("payments", 60, async () => [await maybe(`/v1/payments?count=${MOST}`)], show);
}
