"""The same model behind other servers, as their documentation shows it; run in an environment of their own."""
