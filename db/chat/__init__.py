"""Chats about profiles: messages, and replies that are streamed while they are written."""
