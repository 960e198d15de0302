// Replies of the assistant: asked for once, shown while they are written, paid once.

import { wellFormed } from "./changes.js";
import { CANCEL, SEND, WATCH_REPLY, type ReplyItem, type UserError } from "./documents.js";
import { ApiError } from "./errors.js";
import type { LocalReply, Store } from "./store.js";
import type { SyncService } from "./sync.js";
import { refuse } from "./sync.js";
import type { Transport } from "./transport.js";

export type ReplyListener = (reply: LocalReply) => void;

const OPEN = ["QUEUED", "RUNNING"] as const;

export class Chats {
  constructor(
    private readonly store: Store,
    private readonly transport: Transport,
    private readonly sync: SyncService,
  ) {}

  /**
   * Asks something about a profile and gives the reply at its end; `listener` hears of each piece.
   * It is on the device before it is sent: whatever is cut off, `resume` goes on.
   */
  async ask(localId: number, question: string, listener?: ReplyListener): Promise<LocalReply> {
    const key = crypto.randomUUID();
    await this.store.replies.add({
      key,
      localId,
      question: wellFormed(question),
      messageId: null,
      cursor: null,
      text: "",
      status: "QUEUED",
      errorCode: null,
    });
    return this.follow(key, listener);
  }

  /** Goes on with all replies that had not ended, as after a restart of the app. */
  async resume(listener?: ReplyListener): Promise<LocalReply[]> {
    const open = await this.store.replies.where("status").anyOf(OPEN).toArray();
    return Promise.all(open.map(({ key }) => this.follow(key, listener)));
  }

  /** Follows a reply to its end, or until `signal` ends it. */
  async follow(
    key: string,
    listener?: ReplyListener,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<LocalReply> {
    const messageId = await this.#sent(key);
    if (messageId) {
      const variables = async () => ({ messageId, after: (await this.#reply(key)).cursor });
      const items = this.transport.watch<{ chatReply: ReplyItem }>(WATCH_REPLY, variables, signal);
      for await (const { chatReply: item } of items) {
        const reply = await this.#grow(key, item);
        listener?.(reply);
        if (!isOpen(reply)) break;
      }
    }
    const reply = await this.#reply(key);
    // The question and the reply come into the chat as every device gets them.
    if (!isOpen(reply)) await this.sync.sync();
    return reply;
  }

  /** Calls a reply off; what is written by then stays, and is paid for. */
  async cancel(key: string): Promise<void> {
    const messageId = await this.#sent(key);
    if (!messageId) return;
    const answer = await this.transport.askPatiently<{ cancelChatReply: { errors: UserError[] } }>(
      CANCEL,
      { id: messageId },
    );
    refuse(answer.cancelChatReply.errors);
  }

  async #reply(key: string): Promise<LocalReply> {
    const reply = await this.store.replies.get(key);
    if (!reply) throw new Error(`There is no reply ${key}.`);
    return reply;
  }

  /** The server's id of the reply; null when it was refused. The same key is never paid twice. */
  async #sent(key: string): Promise<string | null> {
    const reply = await this.#reply(key);
    if (reply.messageId || reply.status === "REFUSED") return reply.messageId;
    const profileId = await this.#profileId(reply.localId);
    const answer = await this.transport.askPatiently<{
      sendChatMessage: { message: { id: string } | null; errors: UserError[] };
    }>(SEND, { profileId, text: reply.question, key });
    const { message, errors } = answer.sendChatMessage;
    if (!message) {
      const errorCode = errors[0]?.code ?? "INTERNAL";
      await this.store.replies.update(key, { status: "REFUSED", errorCode });
      return null;
    }
    await this.store.replies.update(key, { messageId: message.id });
    return message.id;
  }

  async #profileId(localId: number): Promise<string> {
    let profile = await this.store.profiles.get(localId);
    if (profile?.id === null) {
      const { error } = await this.sync.sync();
      if (error) throw error;
      profile = await this.store.profiles.get(localId);
    }
    if (!profile?.id) throw new ApiError("NOT_FOUND", "The server does not have this profile.");
    return profile.id;
  }

  /** Adds a piece and its cursor at once: a piece is there once, wherever the app is closed. */
  async #grow(key: string, { cursor, delta, message }: ReplyItem): Promise<LocalReply> {
    return this.store.database.transaction("rw", this.store.replies, async () => {
      const reply = await this.#reply(key);
      reply.text = reply.cursor === null ? delta : reply.text + delta;
      Object.assign(reply, { cursor, status: message.status });
      if (!isOpen(reply)) reply.text = message.text;
      reply.errorCode = message.error?.code ?? null;
      await this.store.replies.put(reply);
      return reply;
    });
  }
}

function isOpen({ status }: LocalReply): boolean {
  return (OPEN as readonly string[]).includes(status);
}
